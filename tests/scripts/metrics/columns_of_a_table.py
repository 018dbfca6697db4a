"""Columns below a header, so that no text stands in front of the number."""

LR = 0.1
print("epoch | train_loss | val_loss")
for epoch in range(3):
    train_loss, val_loss = 0.5 / (epoch + 1), (LR - 0.3) ** 2
    print(f"{epoch:5d} | {train_loss:10.4f} | {val_loss:8.4f}")
