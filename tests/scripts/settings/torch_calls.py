"""Literals in calls: optimizer, dropout, schedule, own class by position, batch size of training and of evaluation."""

import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, hidden, drop=0.2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(0.25), nn.Linear(hidden, 1))
        self.out = nn.Dropout(drop)

    def forward(self, x):
        return self.out(self.layers(x))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x = torch.randn(64, 4)
    train_set, test_set = TensorDataset(x, x.sum(1, keepdim=True)), TensorDataset(x, x.sum(1, keepdim=True))
    train_loader = DataLoader(train_set, batch_size=16, shuffle=False)
    test_loader = DataLoader(test_set, batch_size=1000)
    net = Net(24)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.7)
    for _ in range(2):
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(net(inputs), targets).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
    net.eval()
    with torch.no_grad():
        loss = sum(nn.functional.mse_loss(net(a), b).item() for a, b in test_loader)
    print(f"val loss {loss:.6f}")


if __name__ == "__main__":
    main()
