"""Take all memory in small parts, by many processes, and in shared memory."""

import os
import time

for number in range(12):
    if os.fork() == 0:
        kept = bytearray(b"x") * (60 << 20)
        time.sleep(600)
time.sleep(600)
