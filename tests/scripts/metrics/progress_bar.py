"""A bar shows the metric behind itself; it is on standard error and has no end of line."""

from tqdm import tqdm

LR = 0.1

bar = tqdm(range(3))
for epoch in bar:
    loss = (LR - 0.3) ** 2
    bar.set_postfix(train_loss=2 * loss, val_loss=loss)
