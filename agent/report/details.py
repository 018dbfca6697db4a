"""What a page holds of each trial beside its row: bounded, so that a thousand trials make a page of some megabytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.report.exchange import read_exchange
from agent.report.one_trial import changed, evidence, facts, inert, log_lines, told
from agent.report.scripts import differences
from agent.report.stored_run import StoredRun

MAX_CHARACTERS = 2_500_000
"""Of all diffs, logs and exchanges on one page together."""

_LOG_LINES = 60


@dataclass(frozen=True)
class Text:
    """One long text of a trial."""

    heading: str
    kind: str  # diff, log, prompt or reply
    content: str

    def cut(self, n_characters: int) -> dict[str, Any]:
        """Return this as JSON data with at most so many characters: the end of a log, the beginning of others."""
        left_out = max(0, len(self.content) - n_characters)
        content = self.content[left_out:] if self.kind == "log" else self.content[: len(self.content) - left_out]
        return {"heading": self.heading, "kind": self.kind, "content": content, "left_out": left_out}


@dataclass(frozen=True)
class Details:
    """All that opens with one row."""

    mark: str  # index of the run on the page, and number of the trial: 0/7
    facts: list[tuple[str, str]]
    evidence: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    texts: tuple[Text, ...]

    def to_json(self, n_characters: int) -> dict[str, Any]:
        """Return plain JSON data with at most so many characters of each text."""
        return {
            "facts": self.facts,
            "evidence": self.evidence,
            "changed": self.changed,
            "texts": [text.cut(n_characters) for text in self.texts],
        }


def details(stored: StoredRun, baseline: str, index: int) -> Iterator[Details]:
    """Yield the details of each finished trial of the run with that index on the page."""
    for trial, diff in differences(stored, baseline):
        texts = [Text(f"change of trial {trial.parent}", "diff", inert(diff))] if diff else []
        log = log_lines(stored, trial, _LOG_LINES)
        if log:
            texts.append(Text("end of the training log", "log", "\n".join(log)))
        for number, call in enumerate(read_exchange(stored.paths.trial(trial.number).llm), start=1):
            asked = "\n\n".join(f"[{role}]\n{content}" for role, content in call.messages)
            texts.append(Text(f"prompt of reply {number}", "prompt", inert(asked)))
            texts.append(Text(told(number, call), "reply", inert(call.reply)))
        # Where a file lies on this machine is nothing for a page that is passed on.
        rows = [row for row in facts(stored, trial) if row[0] not in ("trial", "title", "exchange")]
        yield Details(f"{index}/{trial.number}", rows, evidence(trial), changed(stored, trial), tuple(texts))


def fair_share(lengths: list[int], total: int) -> int:
    """Return the length to which texts must be cut for all of them to fit: short ones leave their share to others."""
    left = total
    for n_done, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - n_done)
        if length > share:
            return share
        left -= length
    return max(lengths, default=0)
