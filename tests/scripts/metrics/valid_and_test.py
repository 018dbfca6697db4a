"""A language model that prints the loss of the validation set each epoch and that of the test set at the end."""

import math

LR = 0.1

for epoch in range(3):
    val_loss = (LR - 0.3) ** 2
    print("-" * 40)
    print(
        "| end of epoch {:3d} | time: {:5.2f}s | valid loss {:5.4f} | valid ppl {:8.2f}".format(
            epoch, 1.5, val_loss, math.exp(val_loss)
        )
    )
test_loss = val_loss + 0.1
print("=" * 40)
print(f"| End of training | test loss {test_loss:5.2f} | test ppl {math.exp(test_loss):8.2f}")
