"""Constants that omegaconf's `key=value` of the command line override."""

import sys

from omegaconf import OmegaConf

cfg = OmegaConf.create({"optim": {"lr": 0.1, "beta": 0.9}, "trainer": {"max_epochs": 40}})
cfg = OmegaConf.merge(cfg, OmegaConf.from_cli(sys.argv[1:]))
for _ in range(cfg.trainer.max_epochs):
    loss = abs(cfg.optim.lr - 0.3) + cfg.optim.beta
print(f"val loss {loss:.6f}")
