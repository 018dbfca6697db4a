"""No word of the metric's name says whether a higher or a lower one is better."""

LR = 0.1

for _epoch in range(3):
    loss = (LR - 0.3) ** 2
    print(f"val zorp: {loss:.4f}")
