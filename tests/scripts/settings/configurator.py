"""Variables in small letters, which a file named on the command line and --key=value override by exec."""

import sys
from ast import literal_eval

n_embd = 384
n_head = 6
dropout = 0.0
learning_rate = 3e-4
min_lr = 3e-5
max_iters = 600
warmup_iters = 100
lr_decay_iters = 600
eval_iters = 20
block_size = 64
for word in sys.argv[1:]:
    if "=" in word:
        key, value = word.lstrip("-").split("=")
        globals()[key] = literal_eval(value)
    else:
        exec(open(word).read())
assert n_embd % n_head == 0
for _ in range(max_iters):
    loss = abs(learning_rate - 1e-3) + 1 / n_embd + dropout + min_lr
print(f"val loss {loss:.6f}")
