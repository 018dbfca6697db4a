"""A helper prints on the first of several processes only."""

LR = 0.1
RANK = 0


def print_rank_0(*values, **options):
    if RANK == 0:
        print(*values, flush=True, **options)


for step in range(0, 300, 100):
    loss = (LR - 0.3) ** 2
    print_rank_0(f"step:{step}/300 val_loss:{loss:.4f} train_time:{step}ms")
