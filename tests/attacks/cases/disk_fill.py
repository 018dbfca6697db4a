"""Fill every place that can be written, with bytes."""

import os

for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue"):
    total = 0
    try:
        for number in range(200):
            with open(f"{folder}/{number}", "wb") as file:
                total += file.write(bytes(1 << 20))
    except OSError:
        pass
    if total > 16 << 20:
        print("BREACH", folder, "took", total >> 20, "MiB")
    for number in range(200):
        try:
            os.unlink(f"{folder}/{number}")
        except OSError:
            pass
