"""Constants in capitals with heads of two kinds, a warm-up, two rates, and a check that raises."""

DIM = 288
N_HEADS = 6
N_KV_HEADS = 3
BATCH_SIZE = 96
MICRO_BATCH_SIZE = 12
LEARNING_RATE = 5e-4
MIN_LR = 5e-5
WARMUP_ITERS = 10
MAX_ITERS = 20
MULTIPLE_OF = 32
VOCAB_SIZE = 512
MAX_SEQ_LEN = 64
BOS_ID = 1
WORLD_SIZE = 1
H100_PEAK_FLOPS = 989e12
EVAL_INTERVAL = 5
PATIENCE = 3
BETA2 = 0.95
DROPOUT: float = 0
if DIM % N_HEADS != 0:
    raise ValueError("heads")
for _ in range(MAX_ITERS):
    loss = 1 / DIM + abs(LEARNING_RATE - 1e-3) + MIN_LR + DROPOUT + 1 / MULTIPLE_OF
print(f"val loss {loss:.6f}")
