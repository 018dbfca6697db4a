"""The lines of the first MNIST script that everybody copies; accuracy is a fraction with its percentage behind it."""

LR = 0.1


def train(epoch):
    for batch in range(2):
        loss = (LR - 0.3) ** 2 / (batch + 1)
        print("Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}".format(epoch, batch, 2, 50.0 * batch, loss))


def test():
    test_loss, correct, n_rows = (LR - 0.3) ** 2, 80, 100
    print(
        "\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)\n".format(
            test_loss, correct, n_rows, 100.0 * correct / n_rows
        )
    )


for epoch in range(2):
    train(epoch)
    test()
