"""The value of the last batch with the mean behind it, as many ImageNet scripts print them."""

LR = 0.1


class Average:
    def __init__(self):
        self.val, self.total, self.n = 0.0, 0.0, 0

    def update(self, value):
        self.val, self.total, self.n = value, self.total + value, self.n + 1

    @property
    def avg(self):
        return self.total / self.n


def run(stage, losses, top1):
    for batch in range(3):
        losses.update((LR - 0.3) ** 2 + batch - 1)
        top1.update(90 + batch)
        print(
            f"{stage}: [{batch}/3] Loss {losses.val:>7.4f} ({losses.avg:>6.4f})  Acc@1: {top1.val:.2f} ({top1.avg:.2f})"
        )


def validate():
    losses, top1 = Average(), Average()
    for batch in range(3):
        losses.update((LR - 0.3) ** 2 + batch - 1)
        top1.update(90 + batch)
        print(f"Test: [{batch}/3] Loss {losses.val:>7.4f} ({losses.avg:>6.4f})  Acc@1: {top1.val:.2f} ({top1.avg:.2f})")


run("Train", Average(), Average())
validate()
run("Train", Average(), Average())
