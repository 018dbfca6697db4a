"""Put a link, a pipe or a socket in the place of the output, or a second file beside it."""

import os
import socket

for act in (
    lambda: os.symlink("/etc/passwd", "/out/link"),
    lambda: os.mkfifo("/out/fifo"),
    lambda: os.link("/out/artifact", "/out/hard"),
    lambda: os.link("/out/artifact", "/tmp/hard"),
    lambda: os.rename("/out/artifact", "/out/other"),
    lambda: os.rename("/out", "/elsewhere"),
    lambda: os.unlink("/out/artifact"),
    lambda: os.mknod("/tmp/device", 0o60666, os.makedev(254, 0)),
    lambda: socket.socket(socket.AF_UNIX).bind("/out/socket"),
):
    try:
        act()
        print("BREACH")
    except OSError:
        pass
