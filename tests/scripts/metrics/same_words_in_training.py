"""Training and evaluation print the same words; only the start of the line differs."""

LR = 0.1

for epoch in range(3):
    loss = (LR - 0.3) ** 2
    print(f"valid: epoch {epoch} took 3 s, accuracy: {1 - loss:.4f}")
    print(f"train: epoch {epoch} took 9 s, accuracy: {1 - loss / 2:.4f}")
