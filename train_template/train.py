"""Trains a small GPT under a fixed budget and saves it. One file, for a CPU or one CUDA GPU.

This is the file to edit. It sees training text only: the host scores the model that it saves, in bits per byte of
held-out text. It must keep the function at the end: `load(path)` returns the trained model as a function.
"""

import time

STARTED = time.perf_counter()

import json
import math
import os
import resource
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# ---------------------------------------------------------------------------------------------- hyperparameters
DEPTH = 2  # transformer layers
ASPECT_RATIO = 32  # width = DEPTH * ASPECT_RATIO channels, rounded up to a multiple of HEAD_DIM
HEAD_DIM = 32  # channels of an attention head; even
DEVICE_BATCH_SIZE = 4  # sequences per forward pass, at most; costs memory
TOTAL_BATCH_SIZE = 512  # tokens per optimizer step; gradients of several forward passes are added up
EMBEDDING_LR = 0.6  # AdamW learning rate of token and value embeddings, at width 768
UNEMBEDDING_LR = 0.004  # AdamW learning rate of the output layer, at width 768
MATRIX_LR = 0.04  # Muon learning rate of all matrices inside the layers
SCALAR_LR = 0.5  # AdamW learning rate of the residual scalars
WEIGHT_DECAY = 0.2  # of the matrices, times their learning rate; falls to 0 over the run
WARMUP_RATIO = 0.0  # fraction of the budget in which the learning rates rise
WARMDOWN_RATIO = 0.5  # fraction of the budget in which they fall
FINAL_LR_FRAC = 0.0  # learning rate at the end, as a fraction of the peak
WINDOW_PATTERN = "SSSL"  # attention window by layer, repeated: S = half the context, L = all; the last layer is L

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPE = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32  # of activations; weights are kept in fp32
WIDTH = math.ceil(DEPTH * ASPECT_RATIO / HEAD_DIM) * HEAD_DIM  # channels of a token between the layers
FLASH = [name for name in ("flash_attn_interface", "flash_attn") if find_spec(name) and DEVICE.type == "cuda"]
flash_attention = import_module(FLASH[0]).flash_attn_func if FLASH else None  # FlashAttention 3, or 2, if installed


# -------------------------------------------------------------------------------------------------------- model
class Linear(nn.Linear):
    """A matrix without bias: fp32 for the optimizer, multiplied in the type of the activations."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def normalise(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.size(-1),))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of channels by angles proportional to the position (rotary embedding)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Attention(nn.Module):
    """Causal attention within a window, with normalised queries and keys."""

    def __init__(self, layer: int, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (Linear(WIDTH, WIDTH) for _ in range(4))
        # every second layer, the last included, adds an embedding of the token itself to its values, gated by head
        self.value_embed = nn.Embedding(vocab_size, WIDTH) if (DEPTH - 1 - layer) % 2 == 0 else None
        self.gate = Linear(min(32, WIDTH), WIDTH // HEAD_DIM) if self.value_embed else None
        sees_all = WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "L" or layer == DEPTH - 1
        self.window = seq_len if sees_all else seq_len // 2  # tokens back
        age = torch.arange(seq_len)[:, None] - torch.arange(seq_len)
        self.register_buffer("mask", (age >= 0) & (age <= self.window), persistent=False)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, _ = x.shape
        q, k, v = (matrix(x).view(B, T, -1, HEAD_DIM) for matrix in (self.query, self.key, self.value))
        if self.value_embed:
            gate = 2 * torch.sigmoid(self.gate(x[..., :32]))  # (B, T, heads), 1 at the start
            v = v + gate[..., None] * self.value_embed(tokens).to(v.dtype).view_as(v)
        q, k = normalise(rotate(q, cos, sin)), normalise(rotate(k, cos, sin))
        if flash_attention is not None:
            y = flash_attention(q, k, v, causal=True, window_size=(self.window, 0))
        else:
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, heads, T, head_dim)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask[:T, :T]).transpose(1, 2)
        return self.out(y.reshape(B, T, WIDTH))


class Block(nn.Module):
    """One layer: attention, then a perceptron with squared ReLU, each added to the residual stream."""

    def __init__(self, layer: int, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        self.attention = Attention(layer, vocab_size, seq_len)
        self.widen, self.narrow = Linear(WIDTH, 4 * WIDTH), Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(normalise(x), tokens, cos, sin)
        return x + self.narrow(F.relu(self.widen(normalise(x))).square())


class GPT(nn.Module):
    """Tokens (B, T) -> logits (B, T, V), or with targets (B, T) -> their mean loss in nats."""

    def __init__(self, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        self.vocab_size, self.seq_len = vocab_size, seq_len
        self.embed = nn.Embedding(vocab_size, WIDTH)
        self.blocks = nn.ModuleList(Block(layer, vocab_size, seq_len) for layer in range(DEPTH))
        self.keep = nn.Parameter(torch.ones(DEPTH))  # scales the residual stream before each layer
        self.mix = nn.Parameter(torch.full((DEPTH,), 0.1))  # adds the token's embedding to it again
        self.head = Linear(WIDTH, vocab_size)
        frequencies = 10000 ** -(torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = torch.outer(torch.arange(seq_len), frequencies)[:, None, :]  # (T, 1 for heads, HEAD_DIM / 2)
        self.register_buffer("cos", angles.cos().to(DTYPE), persistent=False)
        self.register_buffer("sin", angles.sin().to(DTYPE), persistent=False)

    @torch.no_grad()
    def initialise(self) -> "GPT":
        """Draw the weights; every layer starts as the identity, because what it adds is multiplied by zeros."""
        bound = (3 / WIDTH) ** 0.5  # uniform within it has a standard deviation of WIDTH ** -0.5
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("out.weight", "narrow.weight", "gate.weight")):
                parameter.zero_()
            else:
                parameter.uniform_(-bound, bound)
        self.embed.weight.normal_()
        self.head.weight.normal_(std=0.001)
        return self

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        cos, sin = self.cos[: tokens.size(1)], self.sin[: tokens.size(1)]
        x = first = normalise(self.embed(tokens)).to(DTYPE)
        for i, block in enumerate(self.blocks):
            x = block(self.keep[i] * x + self.mix[i] * first, tokens, cos, sin)
        logits = self.head(normalise(x)).float()
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


# --------------------------------------------------------------------------------------------------- optimizers
class Adam:
    """Adam (Kingma & Ba 2015), which is AdamW without decay: what it trains here is not decayed.

    Both optimizers are written out, because importing torch.optim takes 2 seconds of every trial.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, betas: tuple[float, float] = (0.8, 0.95)) -> None:
        self.weights, self.lr, self.betas, self.n_steps = weights, lr, betas, 0
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self, lr_factor: float) -> None:
        self.n_steps += 1
        unbias_mean, unbias_square = (1 / (1 - beta**self.n_steps) for beta in self.betas)
        for weight, mean, square in zip(self.weights, self.means, self.squares, strict=True):
            mean.lerp_(weight.grad, 1 - self.betas[0])
            square.lerp_(weight.grad.square(), 1 - self.betas[1])
            spread = (square * unbias_square).sqrt_().add_(1e-10)
            weight.addcdiv_(mean, spread, value=-self.lr * lr_factor * unbias_mean)


class Muon:
    """Momentum whose steps are orthogonalised, so that all directions of a matrix learn alike (Jordan et al. 2024)."""

    def __init__(self, weights: list[nn.Parameter], lr: float) -> None:
        rows, columns = weights[0].shape  # all have this shape: they are worked on as one batch
        self.weights, self.lr, self.n_steps = weights, lr * max(1, rows / columns) ** 0.5, 0
        self.velocity = torch.zeros(len(weights), rows, columns, device=DEVICE)

    @torch.no_grad()
    def step(self, lr_factor: float, weight_decay: float) -> None:
        momentum = 0.85 + 0.1 * min(self.n_steps / 300, 1)
        self.n_steps += 1
        weights = torch.stack(self.weights)  # (n, rows, columns)
        gradients = torch.stack([weight.grad for weight in self.weights])
        self.velocity.lerp_(gradients, 1 - momentum)
        update = self.orthogonalise(gradients.lerp(self.velocity, momentum)).to(weights.dtype)  # Nesterov
        decays = update * weights >= 0  # cautious: only where the step shrinks the weight anyway
        weights -= self.lr * lr_factor * (update + weight_decay * weights * decays)
        for weight, new in zip(self.weights, weights, strict=True):
            weight.copy_(new)

    @staticmethod
    def orthogonalise(x: Tensor) -> Tensor:
        """Push the singular values of each matrix towards 1, by five steps of a quintic Newton-Schulz iteration."""
        tall = x.size(-2) > x.size(-1)
        x = x.to(DTYPE).mT if tall else x.to(DTYPE)
        x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
        for _ in range(5):
            gram = x @ x.mT
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        return x.mT if tall else x


def build_optimizers(model: GPT) -> tuple[list[Adam], list[Muon]]:
    scale = (WIDTH / 768) ** -0.5  # wider layers need smaller steps
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    adams = [
        Adam(embeddings, EMBEDDING_LR * scale),
        Adam([model.head.weight], UNEMBEDDING_LR * scale),
        Adam([model.keep], SCALAR_LR * 0.01),  # small steps, because it scales everything after it
        Adam([model.mix], SCALAR_LR, betas=(0.96, 0.95)),
    ]
    matrices = [m.weight for m in model.blocks.modules() if isinstance(m, Linear)]
    shapes = dict.fromkeys(matrix.shape for matrix in matrices)
    return adams, [Muon([m for m in matrices if m.shape == shape], MATRIX_LR) for shape in shapes]


def lr_factor(progress: float) -> float:
    """Learning rate as a fraction of its peak: up, flat, down. `progress` is the used share of the budget."""
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    if progress < 1 - WARMDOWN_RATIO:
        return 1.0
    remaining = (1 - progress) / WARMDOWN_RATIO
    return remaining + (1 - remaining) * FINAL_LR_FRAC


# ------------------------------------------------------------------------------------------------------- budget
def steps_paid_for(unit: str, amount: float, model: GPT, n_forwards: int, cost: dict[str, float]) -> int:
    """Return how many whole steps the budget pays for. A formula, not a clock: the same on every machine.

    `work` is modelled CPU seconds: `cost` times what a step does, fitted once to measured steps (see task.toml).
    """
    matrices = sum(m.weight.numel() for m in model.blocks.modules() if isinstance(m, Linear))
    multiplied = matrices + WIDTH * model.vocab_size + 2 * DEPTH * WIDTH * model.seq_len
    token = cost["multiply"] * multiplied + cost["channel"] * DEPTH * WIDTH + cost["logit"] * model.vocab_size
    work = TOTAL_BATCH_SIZE * token + n_forwards * DEPTH * cost["layer"] + cost["muon"] * matrices * WIDTH
    price = {"steps": 1.0, "tokens": float(TOTAL_BATCH_SIZE), "work": work}[unit]
    if price > amount:
        fail(f"one step costs {price:.3g} {unit}, more than the whole budget of {amount:g}")
    return int(amount / price)


# ----------------------------------------------------------------------------------------------------- training
def fail(message: str) -> NoReturn:
    print(f"FAIL: {message}", flush=True)
    sys.exit(1)


def random_batches(path: Path, rows: int, seq_len: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and targets (rows, T) from random places of the token file, for ever."""
    tokens = np.memmap(path, dtype="<u2", mode="r")
    chance = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(tokens) - seq_len, (rows, 1), generator=chance).numpy()
        windows = torch.from_numpy(tokens[starts + np.arange(seq_len + 1)].astype(np.int64))
        if DEVICE.type == "cuda":
            windows = windows.pin_memory().to(DEVICE, non_blocking=True)
        yield windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def main() -> None:
    data, seed = Path(os.environ["TRAIN_DATA"]), int(os.environ["TRAIN_SEED"])
    unit, amount = os.environ["TRAIN_BUDGET_UNIT"], float(os.environ["TRAIN_BUDGET"])
    meta = json.loads((data / "meta.json").read_text())
    seq_len, vocab_size = meta["seq_len"], meta["vocab_size"]
    if HEAD_DIM % 2 or not WINDOW_PATTERN or set(WINDOW_PATTERN) - set("SL"):
        fail(f"HEAD_DIM {HEAD_DIM} must be even and WINDOW_PATTERN {WINDOW_PATTERN!r} made of S and L")
    if DEVICE.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.cuda.set_per_process_memory_fraction(float(os.environ.get("TRAIN_VRAM_FRACTION", "1")))
    else:
        torch.set_num_threads(1)  # more threads stall on shared cores, and would add up in another order

    rows = min(DEVICE_BATCH_SIZE, TOTAL_BATCH_SIZE // seq_len)  # sequences per forward pass
    if not rows or TOTAL_BATCH_SIZE % (rows * seq_len):
        fail(f"TOTAL_BATCH_SIZE {TOTAL_BATCH_SIZE} is not a multiple of {DEVICE_BATCH_SIZE} sequences of {seq_len}")
    n_forwards = TOTAL_BATCH_SIZE // (rows * seq_len)

    torch.manual_seed(seed)
    model = GPT(vocab_size, seq_len).to(DEVICE).initialise()
    n_params = sum(p.numel() for p in model.parameters())
    adams, muons = build_optimizers(model)
    batches = random_batches(data / "train.bin", rows, seq_len, seed)
    n_steps = None if unit == "seconds" else steps_paid_for(unit, amount, model, n_forwards, meta["work"])
    print(f"{DEVICE} {DTYPE} width {WIDTH} parameters {n_params / 1e6:.2f} M budget {amount:g} {unit}")

    loss_of = torch.compile(model, dynamic=False) if DEVICE.type == "cuda" else model
    if DEVICE.type == "cuda":
        for _ in range(2):  # compiles outside the budget; the weights stay as they are
            loss_of(*next(batches)).backward()
        model.zero_grad(set_to_none=True)
        torch.cuda.synchronize()

    step, mean_loss, shown, began = 0, 0.0, 0.0, time.perf_counter()
    x, y = next(batches)
    while True:
        elapsed = time.perf_counter() - began
        progress = step / n_steps if n_steps else elapsed / amount
        if progress >= 1:
            break
        loss = torch.zeros((), device=DEVICE)
        for _ in range(n_forwards):
            part = loss_of(x, y) / n_forwards
            part.backward()
            loss += part.detach()
            x, y = next(batches)  # copied while the GPU is busy
        for adam in adams:
            adam.step(lr_factor(progress))
        for muon in muons:
            muon.step(lr_factor(progress), WEIGHT_DECAY * (1 - progress))
        model.zero_grad(set_to_none=True)

        step += 1
        mean_loss += (loss.item() - mean_loss) / min(step, 10)  # running mean, then exponential
        if not math.isfinite(mean_loss) or mean_loss > 2 * math.log(vocab_size):  # a uniform guess costs ln V
            fail(f"diverged: loss {mean_loss:.4g} nats at step {step}, progress {progress:.3f}")
        if progress - shown >= 0.01 or step == 1:  # by progress: the same lines on any machine
            shown = progress
            print(f"step {step:05d} progress {progress:.3f} loss {mean_loss:.4f} elapsed {elapsed:.0f} s", flush=True)

    training_seconds = time.perf_counter() - began
    save(model, os.environ["TRAIN_OUTPUT"])
    print(f"---\ntraining_seconds: {training_seconds:.1f}\ntotal_seconds: {time.perf_counter() - STARTED:.1f}")
    print(f"peak_memory_mb: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
    print(f"peak_vram_mb: {torch.cuda.max_memory_allocated() / 2**20 if DEVICE.type == 'cuda' else 0:.0f}")
    print(f"num_steps: {step}\nnum_params_M: {n_params / 1e6:.3f}\ntrain_loss: {mean_loss:.6f}")
    print(f"depth: {DEPTH}\ntokens_M: {step * TOTAL_BATCH_SIZE / 1e6:.3f}")


# --------------------------------------------------------------------------------------------------- save, load
def save(model: GPT, path: str) -> None:
    """Write all that `load` needs. On a GPU the weights are stored as bf16, the type they are multiplied in."""
    weights = {name: weight.to(DTYPE) for name, weight in model.state_dict().items()}
    torch.save({"vocab_size": model.vocab_size, "seq_len": model.seq_len, "weights": weights}, path)


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Return the model that this same script saved: token ids (B, T) -> logits (B, T, V), blind to later tokens."""
    saved = torch.load(path, map_location=DEVICE, weights_only=True)
    model = GPT(saved["vocab_size"], saved["seq_len"]).to(DEVICE)
    model.load_state_dict(saved["weights"])
    return lambda tokens: model(tokens.to(DEVICE))


if __name__ == "__main__":
    main()
