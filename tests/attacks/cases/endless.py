"""Go on for ever: deaf to signals, with a clock that stands still."""

import signal
import time

time.time = time.monotonic = lambda: 0.0
for number in range(1, signal.NSIG):
    if number not in (9, 19, 32, 33):
        signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(0.1)
