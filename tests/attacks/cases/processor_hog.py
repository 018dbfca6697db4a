"""Take more than one processor with many threads, for as long as this lasts."""

import os
import time

started = time.monotonic()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        while time.monotonic() < started + 1.5:
            pass
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
