"""Meters and their summary, as in the ImageNet example of PyTorch: ` * Acc@1 31.500 Acc@5 90.000`."""

from enum import Enum

LR = 0.1


class Summary(Enum):
    NONE = 0
    AVERAGE = 1


class AverageMeter:
    def __init__(self, name, fmt=":f", summary_type=Summary.AVERAGE):
        self.name, self.fmt, self.summary_type = name, fmt, summary_type
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count

    def __str__(self):
        return ("{name} {val" + self.fmt + "} ({avg" + self.fmt + "})").format(**self.__dict__)

    def summary(self):
        return "{name} {avg:.3f}".format(**self.__dict__) if self.summary_type is Summary.AVERAGE else ""


class ProgressMeter:
    def __init__(self, meters, prefix=""):
        self.meters, self.prefix = meters, prefix

    def display(self, batch):
        entries = [self.prefix + f"[{batch}/4]"]
        entries += [str(meter) for meter in self.meters]
        print("\t".join(entries))

    def display_summary(self):
        entries = [" *"]
        entries += [meter.summary() for meter in self.meters]
        print(" ".join(entries))


def train(epoch):
    losses, top1 = AverageMeter("Loss", ":.4e"), AverageMeter("Acc@1", ":6.2f")
    progress = ProgressMeter([losses, top1], prefix=f"Epoch: [{epoch}]")
    for batch in range(4):
        losses.update((LR - 0.3) ** 2)
        top1.update(99.0)
        progress.display(batch)


def validate():
    losses = AverageMeter("Loss", ":.4e", Summary.NONE)
    top1 = AverageMeter("Acc@1", ":6.2f")
    top5 = AverageMeter("Acc@5", ":6.2f")
    progress = ProgressMeter([losses, top1, top5], prefix="Test: ")
    for batch in range(4):
        top1.update(100 * (0.5 - abs(LR - 0.3)) + batch)
        top5.update(90.0)
        progress.display(batch)
    progress.display_summary()


for epoch in range(2):
    train(epoch)
    validate()
