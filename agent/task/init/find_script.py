"""The choice of the training script among the files of a folder."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from agent.errors import UsageError
from agent.task.init.local_modules import find_modules
from agent.task.init.python_file import Source, read_source
from agent.task.task_files import below, link_out

USUAL = "train.py"
BLOCK_MARK = "# agent init: constants"
"""The first words of the block that `extract_constants` writes, by which a copy is recognised."""
_TRAINING_CALLS = {
    *("backward", "zero_grad", "fit", "partial_fit", "train_on_batch", "apply_gradients", "value_and_grad"),
    *("train_step", "training_step", "fit_generator"),
}
_OF_TRAINING = re.compile(r"loss|grad|epoch|^step$|^iter", re.IGNORECASE)
_TRAINS = re.compile(r"(^|[_/-])(pre)?train(ing|er)?([_\d-]|\.py$)|(^|[_/-])train", re.IGNORECASE)
_STARTS = re.compile(r"(^|/)(main|run|cli|fit|finetune)([_\d-].*)?\.py$", re.IGNORECASE)
_HELPS = re.compile(
    r"(^|[_/-])(eval\w*|test\w*|predict\w*|sample|infer\w*|generate|data\w*|prepare|utils?|setup|bench\w*)"
    r"([_\d-].*)?\.py$",
    re.IGNORECASE,
)
_HELPER = 3  # rank of a name that says that the file does not train
_MOST_FILES = 400  # looked at below the folder


def find_script(folder: Path, named: str | None) -> Source:
    """Return the script that was `named`; else the file that trains when it is started.

    A file that only defines functions is no script, nor is one that another script imports. Of several scripts,
    train.py wins, then a name with `train` in it, then main.py and the like.

    Raises:
        UsageError: there is none, or there are several; the message lists them and says how to name one.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder with your training script")
    if named is not None:
        return read_source(folder, _below(folder, named))
    usual = read_source(folder, USUAL) if (folder / USUAL).is_file() else None
    if usual is not None and runs(usual.tree):
        return usual
    found = _best([source for source in _readable(folder) if not is_block(source.text)], folder)
    if usual is not None and not found:
        return usual  # its own messages say what is missing
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(source.name for source in found)
        raise UsageError(f"{folder}: {names} all look like training scripts; name one: --script {found[0].name}")
    deeper = _deeper(folder)
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


def runs(tree: ast.Module) -> bool:
    """Return whether a file does something when it is started: it has more at its top than definitions.

    `if __name__ == "__main__":` counts, and so do calls, loops and blocks; imports and assigned values do not.
    """
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case ast.Import() | ast.ImportFrom() | ast.Assign() | ast.AnnAssign() | ast.Pass() | ast.Assert():
                continue
            case ast.Try() | ast.If() if not _is_main(node) and all(
                isinstance(inner, ast.Import | ast.ImportFrom | ast.Assign | ast.Pass | ast.FunctionDef | ast.ClassDef)
                for inner in node.body
            ):
                continue
            case _:
                return True
    return False


def is_block(text: str) -> bool:
    """Return whether `agent init` wrote this file."""
    return BLOCK_MARK in text


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _best(sources: Sequence[Source], folder: Path) -> list[Source]:
    """Return the files that train when they are started; of several, those with the most telling name.

    If none seems to train, but only one file does anything when it is started, it is that one.
    """
    scripts = [source for source in sources if runs(source.tree)]
    modules = {source.name: _modules(folder, source) for source in scripts}
    imported = {module.name for found in modules.values() for module in found}
    scripts = [source for source in scripts if source.name not in imported]
    found = [source for source in scripts if _any_trains(source, modules[source.name])]
    ranks = [_rank(source.name) for source in found]
    if not found and len(scripts) == 1 and _rank(scripts[0].name) < _HELPER:
        return scripts
    return [source for source, rank in zip(found, ranks, strict=True) if rank == min(ranks)]


def _modules(folder: Path, script: Source) -> list[Source]:
    try:
        return [module for module, _ in find_modules(folder, script).sources()]
    except UsageError:  # one of them cannot be read, which matters only if this script is chosen
        return []


def _any_trains(script: Source, modules: Sequence[Source]) -> bool:
    return any(trains(source.tree) for source in (script, *modules))


def _rank(name: str) -> int:
    if _TRAINS.search(name):
        return 0
    if _STARTS.search(name):
        return 1
    return _HELPER if _HELPS.search(name) else 2


def _deeper(folder: Path) -> list[str]:
    """Return the scripts in folders of the folder that seem to train, the most telling name first."""
    names = []
    for index, name in enumerate(below(folder, ".")):
        if index >= _MOST_FILES:
            break
        if name.endswith(".py") and "/" in name and link_out(folder, name) is None:
            names.append(name)
    found = []
    for name in names:
        try:
            source = read_source(folder, name)
        except UsageError:
            continue
        is_usual = Path(name).name == USUAL
        if is_usual or (runs(source.tree) and _any_trains(source, _modules(folder, source))):
            found.append((not is_usual, _rank(name), name.count("/"), name))
    return [name for *_, name in sorted(found)]


def _below(folder: Path, named: str) -> str:
    path = Path(named)
    inside = folder / path
    if ".." not in path.parts and not path.is_absolute() and inside.is_file():
        return path.as_posix()
    inside = inside.resolve()
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
