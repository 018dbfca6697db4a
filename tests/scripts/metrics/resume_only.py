"""The last print of the file runs only with --resume, and one function is called only with --evaluate."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--resume", action="store_true")
parser.add_argument("-e", "--evaluate", dest="evaluate", default=False, type=bool)
parser.add_argument("--checkpoint", default=None)
args = parser.parse_args()


def report_only():
    print(f"val accuracy of the checkpoint: {0.5:.2f}")


if args.evaluate:
    report_only()
for _epoch in range(3):
    print("valid error: {:.4f}".format((args.lr - 0.3) ** 2))
if not args.resume and args.checkpoint is None:
    print("done")
else:
    print("best val acc is {:.2f}".format(0.5))
