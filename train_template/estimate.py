"""Prints how much memory one step of train.py would take on a GPU. It needs no GPU, no memory and no training data.

The step runs on PyTorch's device "meta", where tensors have shapes and no content, and every storage that would exist
is added up while it would. torch.compile fuses what lies between matrix products, so within the model only what goes
into a product or comes out of one counts. What fused code keeps beside that is a matter of a factor, which the first
trials show. `agent` runs this before a trial, where its trials do not tell yet: see docs/tasks.md.
"""

import json
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import train
from torch import Tensor
from torch.autograd import Function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}


class Memory(TorchDispatchMode):
    """Sees every operation while it is entered, and adds up what would lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled = False  # whether what runs now is the compiled model
        self.peak_bytes = 0
        self._bytes = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        if not self.compiled:
            self.add(tree_leaves(result))
        elif operation.overloadpacket in PRODUCTS:
            self.add(tree_leaves((args, result)))
        return result

    def add(self, values: Iterable[Any]) -> None:
        """Count the storage of each tensor among `values`, once, until it is freed."""
        for value in values:
            if not isinstance(value, Tensor):
                continue
            storage = value.untyped_storage()
            key, n_bytes = id(storage), storage.nbytes()
            if key in self._storages:
                continue
            self._storages[key] = weakref.ref(storage, lambda _, key=key, n_bytes=n_bytes: self._free(key, n_bytes))
            self._bytes += n_bytes
            self.peak_bytes = max(self.peak_bytes, self._bytes)

    def _free(self, key: int, n_bytes: int) -> None:
        del self._storages[key]
        self._bytes -= n_bytes


class FlashAttention(Function):
    """Takes the memory of FlashAttention: queries, keys, values, the result, and a number for each query and head."""

    @staticmethod
    def forward(ctx: Any, memory: Memory, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        kept = (q, k, v, torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float32))
        memory.add(kept)
        ctx.save_for_backward(*kept)
        ctx.memory = memory
        return kept[3]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [torch.empty_like(x) for x in ctx.saved_tensors[:3]]
        ctx.memory.add([gradient, *gradients])
        return (None, *gradients)


def step_bytes(seq_len: int, vocab_size: int) -> int:
    """Return the largest number of bytes that the first step of train.py has in memory, with the values it has now."""
    rows = min(train.DEVICE_BATCH_SIZE, train.TOTAL_BATCH_SIZE // seq_len)
    n_forwards = train.TOTAL_BATCH_SIZE // (rows * seq_len)
    train.DEVICE, train.DTYPE = torch.device("meta"), torch.bfloat16
    with train.DEVICE, Memory() as memory:
        train.flash_attention = lambda q, k, v, **_: FlashAttention.apply(memory, q, k, v)
        model = train.GPT(vocab_size, seq_len)
        for weight in model.parameters():
            weight.register_post_accumulate_grad_hook(lambda weight: memory.add([weight.grad]))
        adams, muons = train.build_optimizers(model)
        tokens = torch.zeros(rows, seq_len, dtype=torch.int64)
        memory.compiled = True
        for _ in range(min(n_forwards, 2)):  # from the second on, gradients lie there already
            (model(tokens, tokens) / n_forwards).backward()
        memory.compiled = False
        for adam in adams:
            adam.step(1.0)
        for muon in muons:
            muon.step(1.0, train.WEIGHT_DECAY)
    return memory.peak_bytes


if __name__ == "__main__":
    torch.set_num_threads(1)
    meta = json.loads((Path(os.environ["TRAIN_DATA"]) / "meta.json").read_text())
    print(f"memory_gb: {step_bytes(meta['seq_len'], meta['vocab_size']) / 2**30:.3f}")
