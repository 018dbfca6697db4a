"""The pages that a reader sees: the commands on them, the links between them, the headings that links lead to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "bash", "shell")
CONSOLE = "console"  # commands begin with `$ `, the rest is what they said
PROGRAMS = ("agent", "make", "python", "pip", "git", "pytest", "cd", "export")


@dataclass(frozen=True)
class Block:
    """The commands of one block of code, in order."""

    page: str
    line: int
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Span:
    """A command in a line of prose, or an option alone."""

    page: str
    line: int
    text: str


@dataclass(frozen=True)
class Link:
    page: str
    line: int
    target: str


def pages() -> list[Path]:
    """Return README.md and every page of docs/, those that nobody has thought of yet included."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> list[Block]:
    """Return every block that holds commands."""
    found = []
    for page in pages():
        for token in _tokens(page):
            if token.type in ("fence", "code_block") and (commands := _commands(token.info.strip(), token.content)):
                found.append(Block(_name(page), _line(token), tuple(commands)))
    return found


def spans() -> list[Span]:
    """Return every piece of code within a sentence or a table that begins as a command or an option does."""
    found = []
    for page in pages():
        for line, child in _inline(page):
            if child.type == "code_inline" and child.content.startswith((*(f"{p} " for p in PROGRAMS), "--")):
                found.append(Span(_name(page), line, child.content))
    return found


def links() -> list[Link]:
    """Return every target of a link or an image."""
    found = []
    for page in pages():
        for line, child in _inline(page):
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if child.type in ("link_open", "image") and target is not None:
                found.append(Link(_name(page), line, str(target)))
    return found


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what `#...` may follow a page's name, as GitHub makes it of the headings."""
    tokens, found = _tokens(page), set[str]()
    for heading, text in pairwise(tokens):
        if heading.type == "heading_open":
            words = re.sub(r"[`*]|\]\([^)]*\)|\[", "", text.content).lower()
            found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return frozenset(found)


def _commands(language: str, content: str) -> list[str]:
    lines = [line for line in content.replace("\\\n", " ").splitlines() if line.strip()]
    if language == CONSOLE or (not language and lines and lines[0].startswith("$ ")):
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    is_shell = language in SHELL or (not language and lines and lines[0].split()[0] in PROGRAMS)
    return [line for line in lines if not line.startswith("#")] if is_shell else []


def _inline(page: Path) -> Iterator[tuple[int, Token]]:
    """Yield what stands within lines, with the number of the first line of its paragraph or row."""
    for token in _tokens(page):
        for child in token.children or ():
            yield _line(token), child


@cache
def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))
