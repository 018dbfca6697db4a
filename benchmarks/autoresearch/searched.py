"""A file of finished searches, so that a comparison that asks a model for hours can be resumed."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent.trials.trial import Origin, Proposal, Trial
from benchmarks.autoresearch.ledger import Course

ROOT = Path(__file__).resolve().parents[2]
DECIDING = ("agent/search", "agent/modes", "agent/llm", "prompts", "benchmarks/autoresearch")  # folders
NEW, KEPT = "new", "became the incumbent"
USAGE = ("calls", "prompt_tokens", "completion_tokens", "seconds")


@dataclass(frozen=True)
class Key:
    """Everything that determines a search, except the model's replies."""

    program: str  # digest of the code, from `program`
    variant: str
    mode: str
    seed: int
    hours: float
    model: str | None = None
    turns: str | None = None  # the trials on which a model is asked


@dataclass(frozen=True)
class Searched:
    """A finished search."""

    course: Course
    turns: Counter[str] = field(default_factory=Counter)  # outcomes of the model's trials; empty if no model was asked

    @classmethod
    def of(cls, course: Course, trials: Sequence[Trial]) -> "Searched":
        turns: Counter[str] = Counter()
        for trial in trials:
            if (usage := trial.proposal.usage) is None:
                continue
            turns[_came_of(trial.proposal)] += 1
            turns["turns"] += 1
            turns[KEPT] += trial.kept and trial.proposal.origin is Origin.LLM
            for name in USAGE:
                turns[name] += getattr(usage, name)
        return cls(course, turns)


def _came_of(proposal: Proposal) -> str:
    """Return what came of a proposal for which a model was asked."""
    if proposal.refused is not None:
        return str(proposal.refused)
    if proposal.offer is not None and proposal.offer.taken is None:
        if not proposal.offer.points:
            return "no point that can run" if proposal.offer.fault else "a copy of the searcher's point"
        return "held back by the screen"
    return f"a copy of the {proposal.copied_from}'s point" if proposal.copied_from else NEW


def program() -> str:
    """Return a digest of the searchers, proposers, prompts and the surrogate."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in DECIDING for path in (ROOT / folder).rglob("*.*")):
        if path.suffix in {".py", ".npz", ".md", ".txt", ".j2"}:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def in_words(turns: Counter[str]) -> str:
    """Return the outcomes of a model's trials, in words."""
    became = [f"{n} {what}" for what, n in turns.items() if what not in ("turns", KEPT, *USAGE)]
    return (
        f"{turns['turns']} turns: {', '.join(became)}; {turns[KEPT]} {KEPT}; {turns['calls']} calls, "
        f"{turns['prompt_tokens']} tokens in, {turns['completion_tokens']} out, "
        f"{turns['seconds'] / turns['calls']:.1f} s a call"
    )


class Store:
    """Finished searches by their settings; each is appended as a line of JSON as soon as it is done."""

    def __init__(self, path: Path | None) -> None:
        """Read the searches of a file; None: store nothing.

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
    """Return the complete lines; a last line torn by a kill is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return whole.splitlines()
