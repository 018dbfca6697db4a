"""Searches that are done, in a file: a comparison that asks a model takes hours, and is taken up where it ended."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent.trials.trial import Trial
from benchmarks.autoresearch.ledger import Course

ROOT = Path(__file__).resolve().parents[2]
DECIDING = ("agent/search", "agent/modes", "agent/llm", "prompts", "benchmarks/autoresearch")  # folders
NEW, KEPT = "new", "became the incumbent"
USAGE = ("calls", "prompt_tokens", "completion_tokens", "seconds")


@dataclass(frozen=True)
class Key:
    """What decides a search, but for what a model says."""

    program: str  # of `program`: a search by other code is another one
    variant: str
    mode: str
    seed: int
    hours: float
    model: str | None = None
    turns: str | None = None  # when a model is asked


@dataclass(frozen=True)
class Searched:
    """A search that is done."""

    course: Course
    turns: Counter[str] = field(default_factory=Counter)  # what became of the model's; empty if none was asked

    @classmethod
    def of(cls, course: Course, trials: Sequence[Trial]) -> "Searched":
        turns: Counter[str] = Counter()
        for trial in trials:
            if (usage := trial.proposal.usage) is None:
                continue
            refused, copied = trial.proposal.refused, trial.proposal.copied_from
            turns[
                f"{trial.status}" if refused is not None else f"a copy of the {copied}'s point" if copied else NEW
            ] += 1
            turns["turns"] += 1
            turns[KEPT] += trial.kept
            for name in USAGE:
                turns[name] += getattr(usage, name)
        return cls(course, turns)


def program() -> str:
    """Return a digest of the searchers, proposers, prompts and the surrogate."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in DECIDING for path in (ROOT / folder).rglob("*.*")):
        if path.suffix in {".py", ".npz", ".md", ".txt", ".j2"}:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def in_words(turns: Counter[str]) -> str:
    """Return what came of a model's turns."""
    became = [f"{n} {what}" for what, n in turns.items() if what not in ("turns", KEPT, *USAGE)]
    return (
        f"{turns['turns']} turns: {', '.join(became)}; {turns[KEPT]} {KEPT}; {turns['calls']} calls, "
        f"{turns['prompt_tokens']} tokens in, {turns['completion_tokens']} out, "
        f"{turns['seconds'] / turns['calls']:.1f} s a call"
    )


class Store:
    """Searches by what decided them: a line of JSON each, added as soon as it is done."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there. None: nothing is kept.

        Raises:
            ValueError: a line is not a search.
            OSError: the file cannot be read, or its folder not made.
        """
        self._path = path
        self._done: dict[Key, Searched] = {}
        for number, line in enumerate(_lines(path) if path else (), 1):
            try:
                row = json.loads(line)
                course = Course(row["n_failed"], [(seconds, best) for seconds, best in row["curve"]])
                self._done[Key(**row["key"])] = Searched(course, Counter(row["turns"]))
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number} is not a search: remove the line") from None

    def find(self, key: Key) -> Searched | None:
        return self._done.get(key)

    def add(self, key: Key, searched: Searched) -> None:
        self._done[key] = searched
        if self._path is not None:
            course = searched.course
            row = {"key": asdict(key), "n_failed": course.n_failed, "curve": course.curve, "turns": searched.turns}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def _lines(path: Path) -> list[str]:
    """Return the whole lines; what a kill left of a last one is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return whole.splitlines()
