"""One line of output by several calls."""

LR = 0.1

for epoch in range(3):
    loss = (LR - 0.3) ** 2
    print("epoch", epoch, end=", ")
    print("train loss", 2 * loss, sep="=", end="; val loss")
    print(" ", end="")
    print(f"{loss:.4f}")
