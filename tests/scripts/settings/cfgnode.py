"""Attributes of a CfgNode-like object and of a SimpleNamespace."""

from types import SimpleNamespace as CN

C = CN()
C.model = CN(n_layer=3, n_embd=48)
C.model.dropout = 0.1
C.trainer = CN()
C.trainer.learning_rate = 5e-4
C.trainer.max_iters = 10
C.trainer.num_workers = 4
for _ in range(C.trainer.max_iters):
    loss = abs(C.trainer.learning_rate - 1e-3) + 1 / C.model.n_layer + 1 / C.model.n_embd + C.model.dropout
print(f"val loss {loss:.6f}")
