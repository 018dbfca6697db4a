"""Python files of a folder, as text and syntax tree; they are read and never run."""

import ast
from dataclasses import dataclass
from pathlib import Path

from agent.edits.syntax import BYTE_ORDER_MARK, parse_script
from agent.errors import UsageError
from agent.task.task_files import link_out


@dataclass(frozen=True)
class Source:
    """One Python file."""

    name: str  # path relative to the folder, with slashes
    text: str
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        """Return the place of an expression or a statement, as `train.py:12`."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


def read_source(folder: Path, name: str) -> Source:
    """Return a file of `folder`.

    Raises:
        UsageError: it is missing, is not UTF-8 text or does not parse; the message has the line.
    """
    path = folder / name
    if (target := link_out(folder, name)) is not None:
        raise UsageError(f"{path} is outside the folder: it is a link to {target}; copy it in")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a plain file; name the script with --script FILE")
    try:
        text = path.read_bytes().decode().removeprefix(BYTE_ORDER_MARK)
        return Source(name, text, parse_script(text))
    except UnicodeDecodeError as fault:
        raise UsageError(f"{path}: not UTF-8 text (byte {fault.start}); convert it, e.g. with iconv") from None
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror}") from None
    except (SyntaxError, ValueError) as fault:  # ValueError: a null byte
        line = (fault.lineno if isinstance(fault, SyntaxError) else None) or 1
        raise UsageError(f"{path}:{line}: does not parse as Python: {fault.args[0]}") from None
    except (RecursionError, MemoryError):
        raise UsageError(f"{path}: nested too deeply to be read; simplify it") from None


def is_file(path: Path) -> bool:
    """Return whether a path is an accessible plain file; not if it is a word too long for a file name."""
    try:
        return path.is_file()
    except OSError:
        return False


def imported_names(source: Source) -> set[str]:
    """Return the top-level names that a file imports."""
    names = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names
