"""Reach the internet, the cloud's metadata, the host's bridge, or a name server."""

import socket

for address in (("1.1.1.1", 53), ("169.254.169.254", 80), ("172.17.0.1", 2375), ("127.0.0.1", 22)):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(1)
            if sock.connect_ex(address) == 0 and kind == socket.SOCK_STREAM:
                print("BREACH connected to", address)
try:
    print("BREACH resolved", socket.getaddrinfo("pypi.org", 443))
except OSError:
    pass
