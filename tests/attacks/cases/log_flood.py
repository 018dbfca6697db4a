"""Print without end, in one line, and in bytes that are no text."""

import os

os.write(1, b"\x00\x1b]0;title\x07\xff\xfe" * 1000 + b"\n")
for _ in range(40):
    os.write(1, b"x" * (1 << 20))
    os.write(2, b"\n" * (1 << 16))
os.write(1, b"\n")
