"""Take all memory in a child, and end well."""

import os

if os.fork() == 0:
    kept = []
    while True:
        kept.append(bytearray(1 << 24))
os.wait()
