"""The choice of the training script among the files of a folder."""

import ast
import re
from pathlib import Path

from agent.errors import UsageError
from agent.task.init.python_file import Source, read_source

USUAL = "train.py"
BLOCK_MARK = "# agent init: constants"
"""The first words of the block that `lift` writes, by which a copy is recognised."""
_TRAINING_CALLS = {
    *("backward", "zero_grad", "fit", "partial_fit", "train_on_batch", "apply_gradients", "value_and_grad"),
    *("train_step", "training_step", "fit_generator"),
}

_OF_TRAINING = re.compile(r"loss|grad|epoch|^step$|^iter", re.IGNORECASE)


def find_script(folder: Path, named: str | None) -> Source:
    """Return the script that was `named`; else train.py; else the only file that looks like training.

    Raises:
        UsageError: there is none, or there are several; the message lists them and says how to name one.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder with your training script")
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
    raise UsageError(f"{folder}: no {USUAL} and no other .py file with a training loop; name the script: {hint}")


def trains(tree: ast.Module) -> bool:
    """Return whether a file looks like training: it calls a training function, or computes a loss in a loop."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _TRAINING_CALLS:
            return True
        if isinstance(node, ast.For | ast.While) and any(_OF_TRAINING.search(name) for name in _assigned(node)):
            return True
    return False


def is_block(text: str) -> bool:
    """Return whether `agent init` wrote this file."""
    return BLOCK_MARK in text


def _below(folder: Path, named: str) -> str:
    path = Path(named)
    inside = (folder / path).resolve()
    if not inside.is_relative_to(folder.resolve()) and path.resolve().is_relative_to(folder.resolve()):
        inside = path.resolve()  # relative to the working folder, as shell completion writes it
    if not inside.is_relative_to(folder.resolve()):
        raise UsageError(f"--script {named}: it is outside {folder}; give the folder that contains it")
    if not inside.is_file():
        raise UsageError(f"--script {named}: there is no such file in {folder}")
    return inside.relative_to(folder.resolve()).as_posix()


def _readable(folder: Path) -> list[Source]:
    """Return the Python files directly in `folder` that parse; the others are not candidates."""
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
