"""The hand-written edits of `examples/edits-night/`: one file each, as a model replies in the format search-replace.

A file has the lines `KIND:`, `EXPECTED:` and `TITLE:`, a reason, and SEARCH/REPLACE blocks. No two edits touch the same
line, and none touches a line of the search space, so they apply in any order, and under any values of the space.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from agent.edits.formats import SEARCH_REPLACE, title_line
from agent.edits.search_replace import SearchReplace

FOLDER = Path(__file__).parents[2] / "examples" / "edits-night"
TUNED = "# tune:"  # a line with it may have another value by the time that it is looked for


@dataclass(frozen=True)
class HandEdit:
    """One edit."""

    name: str
    kind: str
    expected: str  # what its author expects of it: better, neutral or worse
    reply: str  # as a model sends it: title, reason and blocks
    blocks: SearchReplace

    @property
    def title(self) -> str:
        return title_line(self.reply)

    def is_in(self, source: str) -> bool:
        """Return whether a script has all lines that this edit adds, whatever the values of its constants."""
        lines = set(source.splitlines())
        return all(line in lines for line in self._added() if TUNED not in line)

    def constants(self) -> list[str]:
        """Return the names of the constants that this edit exposes to a searcher."""
        return [line.partition(" = ")[0] for line in self._added() if TUNED in line]

    def _added(self) -> list[str]:
        blocks = self.blocks.blocks
        return [
            line for block in blocks for line in block.replace.splitlines() if line not in block.search.splitlines()
        ]


def read_edits(folder: Path = FOLDER / "edits") -> list[HandEdit]:
    """Return all edits, sorted by name."""
    return [_read(path) for path in sorted(folder.glob("*.txt"))]


def shuffled(edits: list[HandEdit], seed: int) -> list[HandEdit]:
    """Return the edits in the order of a seed."""
    order = list(edits)
    random.Random(f"edits-night {seed}").shuffle(order)
    return order


def _read(path: Path) -> HandEdit:
    kind, expected, reply = path.read_text(encoding="utf-8").split("\n", 2)
    blocks = SEARCH_REPLACE.parse(reply, "train.py", "")
    assert isinstance(blocks, SearchReplace)
    return HandEdit(path.stem, kind.removeprefix("KIND: "), expected.removeprefix("EXPECTED: "), reply, blocks)
