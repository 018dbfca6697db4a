"""A bigram model of letters, trained by gradient steps: train.py as in karpathy/autoresearch, without a GPU."""

import math
import random
import time

from prepare import TIME_BUDGET, VOCAB_SIZE, evaluate_bpb, load_tokens

# ---------------------------------------------------------------------------
# Hyperparameters (edit these directly, no CLI flags needed)
# ---------------------------------------------------------------------------

LEARNING_RATE = 0.8  # of the logits
WEIGHT_DECAY = 0.01  # pulls them to zero
BATCH_SIZE = 2**5  # letters per step
INIT_SCALE = 0.1
ADAM_BETAS = (0.8, 0.95)
SMOOTHING = 0.02

t_start = time.time()
random.seed(42)
train, val = load_tokens("train"), load_tokens("val")
logits = [[random.gauss(0, INIT_SCALE) for _ in range(VOCAB_SIZE)] for _ in range(VOCAB_SIZE)]


def predict(left):
    top = max(logits[left])
    weights = [math.exp(x - top) for x in logits[left]]
    total = sum(weights)
    return [(1 - SMOOTHING) * w / total + SMOOTHING / VOCAB_SIZE for w in weights]


step, total_training_time = 0, 0.0
while total_training_time < TIME_BUDGET:
    t0 = time.time()
    loss = 0.0
    for _ in range(BATCH_SIZE):
        at = random.randrange(len(train) - 1)
        left, right = train[at], train[at + 1]
        chances = predict(left)
        loss -= math.log(chances[right]) / BATCH_SIZE
        for letter in range(VOCAB_SIZE):
            gradient = chances[letter] - (letter == right) + WEIGHT_DECAY * logits[left][letter]
            logits[left][letter] -= LEARNING_RATE / BATCH_SIZE * gradient
    total_training_time += time.time() - t0
    step += 1
    print(f"\rstep {step:05d} | loss: {loss:.6f}", end="", flush=True)
print()

val_bpb = evaluate_bpb(predict, val)
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {total_training_time:.1f}")
print(f"total_seconds:    {time.time() - t_start:.1f}")
print(f"num_steps:        {step}")
