"""Answers the host's questions about train.py's saved model. Untrusted like train.py: the host checks the answers.

python score.py claim    tokens (N, T+1)               -> loss of every next token in nats, float32 (N, T)
python score.py audit    prefixes (k, T), positions (k,) -> all logits at those positions, float32 (k, V)
python score.py rounds   R times, each after the last answer: ends (N,), prefixes (N, W)
                                                         -> all logits at those ends, float32 (N, V)
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F

TOKENS_PER_BATCH = 2048  # bounds memory: with a vocabulary of 8,192 the logits then take 64 MiB


def batches(tokens: torch.Tensor, seq_len: int) -> Iterator[torch.Tensor]:
    """Yield batches of rows of `tokens`, in order; equal sizes for all questions, so that they use the same kernels."""
    return iter(tokens.split(max(1, TOKENS_PER_BATCH // seq_len)))


def taken(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the next bytes of a file that the host appends to; wait until they are there."""
    data = b""
    while len(data) < n_bytes:
        data += file.read(n_bytes - len(data))
        if len(data) < n_bytes:
            time.sleep(0.005)
    return data


def rounds() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the question of each round: prefixes (N, W), padded at the end, and the position of each end, (N,)."""
    n = int(os.environ["SCORE_SEQUENCES"])
    with open(os.environ["SCORE_QUESTIONS"], "rb", buffering=0) as file:
        for _ in range(int(os.environ["SCORE_ROUNDS"])):
            asked = taken(file, int.from_bytes(taken(file, 4), "little"))
            ends = np.frombuffer(asked, dtype="<i8", count=n).copy()
            rows = np.frombuffer(asked, dtype="<u2", offset=8 * n).reshape(n, -1).astype(np.int64)
            yield torch.from_numpy(rows), torch.from_numpy(ends)


def main(question: str) -> None:
    torch.set_num_threads(1)
    import train  # the trial's edited script

    seq_len = int(os.environ["SCORE_LENGTH"])
    predict = train.load(os.environ["SCORE_ARTIFACT"])  # (B, T) ids -> (B, T, V) logits
    # each answer is written at once: in a list, the answers would fragment the heap between the big blocks
    with torch.inference_mode(), open(os.environ["SCORE_OUTPUT"], "wb") as output:
        if question == "rounds":
            for prefixes, their_ends in rounds():
                for rows, ends in zip(batches(prefixes, seq_len), batches(their_ends, seq_len), strict=True):
                    output.write(predict(rows)[torch.arange(len(rows)), ends].float().cpu().numpy().tobytes())
                output.flush()
            return
        tokens_file = Path(os.environ["SCORE_TOKENS"])
        flat = torch.from_numpy(np.fromfile(tokens_file, dtype="<u2").astype(np.int64))
        if question == "claim":
            for rows in batches(flat.view(-1, seq_len + 1), seq_len):
                logits = predict(rows[:, :-1]).float().cpu().flatten(0, 1)
                losses = F.cross_entropy(logits, rows[:, 1:].flatten(), reduction="none")
                output.write(losses.numpy().tobytes())
        else:
            positions = torch.from_numpy(np.fromfile(tokens_file.with_name("positions.bin"), dtype="<i8"))
            tokens = flat.view(-1, seq_len)
            for rows, ends in zip(batches(tokens, seq_len), batches(positions, seq_len), strict=True):
                logits = predict(rows)[torch.arange(len(rows)), ends].float().cpu()
                output.write(logits.numpy().tobytes())


if __name__ == "__main__":
    if sys.argv[1:] not in (["claim"], ["audit"], ["rounds"]):
        sys.exit("score.py: the argument must be claim, audit or rounds")
    main(sys.argv[1])
