"""A LightningModule; `validate` prints a table."""

import lightning
import torch

LEARNING_RATE = 0.05


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 2)

    def loss(self, batch):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.linear(x), y)

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=LEARNING_RATE)


def loader(n):
    x = torch.linspace(0, 1, n)[:, None]
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x[:, 0] > 0.5).long()), batch_size=8)


torch.set_num_threads(1)
lightning.seed_everything(0)
trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False)
model = Line()
trainer.fit(model, loader(64), loader(32))
trainer.validate(model, loader(32))
