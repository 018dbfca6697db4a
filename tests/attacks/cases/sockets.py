"""Leave by a socket that no network namespace holds: vsock, netlink, packet; or call the host by a unix socket."""

import os
import socket

for family in (40, 16, 17, 38, 29, 44):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind)
            print("BREACH opened a socket of family", family)
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
