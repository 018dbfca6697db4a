"""A copy of a script with its settings as constants at the top, so that a search can write them.

The rest of the text stays the same: `default=3e-4` becomes `default=LR`, below a line `LR = 3e-4`. The original file
is not changed.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.edits.edit import Value
from agent.task.init.find_script import BLOCK_MARK
from agent.task.init.python_file import Source
from agent.task.init.settings.load_call import LoadCall
from agent.task.init.settings.setting import Setting
from agent.text import one_line

SEEDS = ("SEED", "RANDOM_SEED", "TRAIN_SEED", "TORCH_SEED", "MANUAL_SEED", "GLOBAL_SEED")
"""Names of the setting that is the training seed. Other seeds, such as that of a data split, must not change."""


@dataclass(frozen=True)
class Lifted:
    """The new script."""

    name: str
    text: str
    settings: tuple[Setting, ...]  # those that are constants now


def block_name(script: str) -> str:
    """Return the name of the copy of a script."""
    path = Path(script)
    return path.with_name(f"{path.stem}_block.py").as_posix()


def extract_constants(
    source: Source, settings: Sequence[Setting], load: LoadCall | None, wanted: Callable[[Setting], bool]
) -> Lifted:
    """Return a copy of `source` in which constants replace the `wanted` ones of its settings.

    The training seed is taken from TRAIN_SEED, so that the script can run under several seeds.

    Args:
        source: the script.
        settings: all of its settings; those without effect stay as they are.
        load: where it loads a settings file, if any; the constants override the loaded values.
        wanted: returns whether to make a setting a constant.
    """
    settings = [setting for setting in settings if not setting.unused]
    seeds = [setting for setting in settings if setting.name in SEEDS and isinstance(setting.value, int)][:1]
    lifted = [setting for setting in settings if wanted(setting)]
    if not any(setting.node is None for setting in (*lifted, *seeds)):
        load = None
    text = _with_names(source.text, lifted, seeds, load)
    name = one_line(source.name)
    block = [f"{BLOCK_MARK} of {name}; `agent run` writes them, and nothing reads {name} any more"]
    block += [
        f"{setting.name} = {_spelt(setting.value)}  # {one_line(setting.display_name)}"
        for setting in lifted
        if setting.written
    ]
    for seed in seeds:
        if seed.written:
            block += [f"{seed.name} = {_seed(seed)}  # {one_line(seed.display_name)}"]
    if load is not None:
        block += ["", "", *load.function([*lifted, *seeds]), ""]
    head, rest = _split(source, text)
    gap = "" if rest.startswith("\n") else "\n"
    text = f"{head}\n" * bool(head) + "\n".join(block) + "\n" + gap + rest
    return Lifted(block_name(source.name), text, tuple(lifted))


def _with_names(text: str, lifted: Sequence[Setting], seeds: Sequence[Setting], load: LoadCall | None) -> str:
    """Return the text with each literal replaced by a name, and with the loaded settings passed to `configured`.

    A setting that is read from the environment into a constant of its own becomes that constant.
    """
    changes = [
        (_span(node), setting.written.format(setting.name) if setting.written else value)
        for settings, spelt in ((lifted, lambda setting: _spelt(setting.value)), (seeds, _seed))
        for setting in settings
        for value in [spelt(setting)]
        for node in setting.nodes
    ]
    if load is not None:
        changes += [((place, place), text) for place, text in load.insertions]
    lines = text.encode().splitlines(keepends=True)  # ast counts columns in bytes
    for (start, end), new in sorted(changes, reverse=True):  # from the end, so that earlier positions stay valid
        before, after = lines[start[0] - 1][: start[1]], lines[end[0] - 1][end[1] :]
        lines[start[0] - 1 : end[0]] = [before + new.encode() + after]
    return b"".join(lines).decode()


def _seed(seed: Setting) -> str:
    return f'int(__import__("os").environ.get("TRAIN_SEED", "{seed.value}"))'


def _span(node: ast.expr | ast.stmt) -> tuple[tuple[int, int], tuple[int, int]]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _split(source: Source, text: str) -> tuple[str, str]:
    """Return the part that must come first in a file (comments, docstring, __future__ imports), and the rest."""
    last = 0
    for index, node in enumerate(source.tree.body):
        is_docstring = index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            last = node.end_lineno or 0
    lines = [line.decode() for line in text.encode().splitlines(keepends=True)]  # as ast counts them
    if not last:
        while last < len(lines) and lines[last].startswith("#"):
            last += 1
    return "".join(lines[:last]), "".join(lines[last:])


def _spelt(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) and value.isidentifier() else repr(value)
