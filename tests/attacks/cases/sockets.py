"""Leave by a socket that no network namespace holds: vsock, packet, most of netlink; or call the host by a file."""

import os
import socket

# Of netlink, protocol 0 shows the job's own loopback interface only.
for family, protocol in ((40, 0), (17, 0), (38, 0), (29, 0), (44, 0), *((16, number) for number in range(1, 32))):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind, protocol)
            print("BREACH opened a socket of family", family, protocol)
        except OSError:
            pass
for path in (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/dbus/system_bus_socket",
):
    if os.path.exists(path):
        print("BREACH", path)
