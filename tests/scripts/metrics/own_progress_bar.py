"""A bar of the script's own, written to standard output piece by piece."""

import sys

LR = 0.1


def progress_bar(current, total, msg=None):
    sys.stdout.write(f" [{'=' * current:{total}}] {current}/{total}")
    if msg:
        sys.stdout.write(" | " + msg)
    sys.stdout.write("\r" if current < total else "\n")
    sys.stdout.flush()


def test():
    for batch in range(4):
        loss, correct, total = (LR - 0.3) ** 2, 30 + batch, 40
        progress_bar(
            batch + 1, 4, "Test loss: %.3f | Acc: %.3f%% (%d/%d)" % (loss, 100.0 * correct / total, correct, total)
        )


for _epoch in range(2):
    test()
