"""A number in colour, and a name in camel case."""

LR = 0.1
GREEN, END = "\x1b[1;32m", "\x1b[0m"

for epoch in range(3):
    loss = (LR - 0.3) ** 2
    print(f"epoch={epoch} trainLoss={2 * loss:.4f} valLoss=\x1b[1;32m{loss:.4f}\x1b[0m")
