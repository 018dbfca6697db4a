"""Fill the disk by the output."""

import os

fd = os.open(os.environ["TRAIN_OUTPUT"], os.O_RDWR)
for act in (
    lambda: os.truncate(fd, 1 << 40),
    lambda: os.posix_fallocate(fd, 0, 1 << 34),
    lambda: os.pwrite(fd, b"x", 1 << 40),
    lambda: [os.write(fd, bytes(1 << 20)) for _ in range(10_000)],
):
    try:
        act()
        print("BREACH")
    except OSError:
        pass
os._exit(0)
