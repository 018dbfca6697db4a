"""Which file of a folder is the training script."""

import ast
import re
from pathlib import Path

from agent.errors import UsageError
from agent.task.init.python_file import Source, read_source

USUAL = "train.py"
BLOCK_MARK = "# agent init: constants"
"""The first words of the block that `lift` writes: such a file is a copy of another one."""
_TRAINING_CALLS = {
    *("backward", "zero_grad", "fit", "partial_fit", "train_on_batch", "apply_gradients", "value_and_grad"),
    *("train_step", "training_step", "fit_generator"),
}

_OF_TRAINING = re.compile(r"loss|grad|epoch|^step$|^iter", re.IGNORECASE)


def find_script(folder: Path, named: str | None) -> Source:
    """Return the script that was `named`; else train.py; else the only file that looks like training.

    Raises:
        UsageError: there is none, or there are several; the message says which, and how to name one.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the one with your training script")
    if named is not None:
        return read_source(folder, _below(folder, named))
    if (folder / USUAL).is_file():
        return read_source(folder, USUAL)
    found = [source for source in _readable(folder) if trains(source.tree) and not is_block(source.text)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(source.name for source in found)
        raise UsageError(f"{folder}: {names} all look like training scripts; name one: --script {found[0].name}")
    deeper = sorted(path.relative_to(folder).as_posix() for path in folder.glob(f"*/{USUAL}"))
    hint = f"--script {deeper[0]}" if deeper else "--script FILE"
    raise UsageError(f"{folder}: no {USUAL}, and no other .py file here has a training loop; name the script: {hint}")


def trains(tree: ast.Module) -> bool:
    """Return whether a file looks like training: it calls what trains a model, or a loop computes a loss."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _TRAINING_CALLS:
            return True
        if isinstance(node, ast.For | ast.While) and any(_OF_TRAINING.search(name) for name in _assigned(node)):
            return True
    return False


def is_block(text: str) -> bool:
    """Return whether `agent init` has written this file."""
    return BLOCK_MARK in text


def _below(folder: Path, named: str) -> str:
    path = Path(named)
    inside = (folder / path).resolve()
    if not inside.is_relative_to(folder.resolve()) and path.resolve().is_relative_to(folder.resolve()):
        inside = path.resolve()  # as one completes it in a shell, from where one stands
    if not inside.is_relative_to(folder.resolve()):
        raise UsageError(f"--script {named}: it lies outside {folder}; give the folder that has it")
    if not inside.is_file():
        raise UsageError(f"--script {named}: there is no such file in {folder}")
    return inside.relative_to(folder.resolve()).as_posix()


def _readable(folder: Path) -> list[Source]:
    """Return the Python files right in `folder` that parse; one that does not is no candidate."""
    sources = []
    for path in sorted(folder.glob("*.py")):
        try:
            sources.append(read_source(folder, path.name))
        except UsageError:
            continue
    return sources


def _assigned(loop: ast.For | ast.While) -> set[str]:
    return {
        node.id.lower() for node in ast.walk(loop) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
