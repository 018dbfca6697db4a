"""Accuracies of image classification, as ImageNet scripts print them: ` * Acc@1 45.200 Acc@5 80.100`."""

LR = 0.1


class AverageMeter:
    def __init__(self):
        self.total, self.count = 0.0, 0

    def update(self, value):
        self.total, self.count = self.total + value, self.count + 1

    @property
    def avg(self):
        return self.total / self.count


def validate():
    top1, top5 = AverageMeter(), AverageMeter()
    for batch in range(4):
        top1.update(100 * (0.5 - abs(LR - 0.3)) + batch)
        top5.update(90.0)
    print(f" * Acc@1 {top1.avg:.3f} Acc@5 {top5.avg:.3f}")


for epoch in range(2):
    loss = (LR - 0.3) ** 2
    print(f"Epoch: [{epoch}] Loss {loss:.4f} ({loss:.4f})")
    validate()
