"""Make empty files, which no limit of bytes counts, until something stops it."""

import os

try:
    for number in range(10_000_000):
        os.close(os.open(f"/tmp/{number}", os.O_CREAT))
    print("BREACH ten million files")
except OSError:
    pass
