"""The page's row for each trial, and the panel that the row opens, with texts of bounded length."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.llm.recorded_calls import read_calls
from agent.report.html.texts.side_by_side import DiffRow, side_by_side
from agent.report.html.texts.terminal_log import LogLine, terminal_lines
from agent.report.trial_details import changed, evidence, facts
from agent.report.trial_table import change, verdict
from agent.store.stored_run import StoredRun
from agent.text import inert, one_line, read_tail
from agent.trials.history import stands
from agent.trials.trial import Trial

MAX_CHARACTERS = 1_000_000
"""Total length of all diffs, logs and exchanges on one page."""
_LOG_LINES = 60
_MOST_ROWS = 1_500  # of all kept edits together, which are on the page without JavaScript, too
# By verdict, or by tone for verdicts that are not listed.
_SYMBOLS = {
    "confirmed": "★", "repeated": "☆", "provisional": "◐", "rolled back": "◌",
    "kept": "●", "reverted": "○", "failed": "×",
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """One long text of a trial."""

    heading: str
    kind: str  # diff, log, prompt or reply
    content: str | Sequence[DiffRow | LogLine]  # of a diff its rows, of a log its lines

    @property
    def n_characters(self) -> int:
        return len(self.content) if isinstance(self.content, str) else sum(part.n_characters for part in self.content)

    def cut(self, n_characters: int) -> dict[str, Any]:
        """Return JSON data with at most `n_characters` of the text: the end of a log, the beginning of other texts.

        Of a diff or a log only whole lines are left out.
        """
        head = {"heading": self.heading, "kind": self.kind}
        if isinstance(self.content, str):
            content = self.content[:n_characters]
            return {**head, "content": content, "left_out": len(self.content) - len(content)}
        kept, left = list[Any](), n_characters
        for part in reversed(self.content) if self.kind == "log" else self.content:
            left -= part.n_characters
            if left < 0:
                break
            kept.append(part)
        left_out = self.n_characters - sum(part.n_characters for part in kept)
        lines = [part.to_json() for part in (reversed(kept) if self.kind == "log" else kept)]
        return {**head, "content": lines, "left_out": left_out}


@dataclass(frozen=True)
class Details:
    """The panel that opens below a trial's row."""

    mark: str  # index of the run on the page, and number of the trial: 0/7
    facts: list[tuple[str, str]]
    evidence: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    conditions: list[tuple[str, str]]  # of the baseline all, else those that differ from the baseline's
    texts: tuple[Text, ...]

    def to_json(self, n_characters: int) -> dict[str, Any]:
        """Return plain JSON data with at most `n_characters` of each text."""
        return {
            "facts": self.facts,
            "evidence": self.evidence,
            "changed": self.changed,
            "conditions": self.conditions,
            "texts": [text.cut(n_characters) for text in self.texts],
        }


def details(stored: StoredRun, baseline: str, index: int, numbers: Collection[int] | None = None) -> Iterator[Details]:
    """Yield the details of each finished trial of the run with that index on the page.

    `numbers`: of the trials that are wanted; None: all.
    """
    for trial, difference in differences(stored, baseline, numbers):
        texts = [Text(f"edit of trial {trial.parent}", "diff", difference)] if difference else []
        log = terminal_lines(read_tail(stored.paths.trial(trial.number).log), _LOG_LINES)
        if log:
            texts.append(Text("end of the training log", "log", log))
        for number, call in enumerate(read_calls(stored.paths.trial(trial.number).llm), start=1):
            prompt = "\n\n".join(f"[{role}]\n{content}" for role, content in call.messages)
            texts.append(Text(f"prompt of reply {number}", "prompt", inert(prompt)))
            texts.append(Text(call.describe(number), "reply", inert(call.reply)))
        # A shared page must not reveal paths of this machine.
        rows = [row for row in facts(stored, trial) if row[0] not in ("trial", "title", "exchange")]
        yield Details(
            f"{index}/{trial.number}",
            rows,
            evidence(trial),
            changed(stored, trial),
            _conditions(trial, stored.history.trials[0]),
            tuple(texts),
        )


def _conditions(trial: Trial, baseline: Trial) -> list[tuple[str, str]]:
    """Return what a result may depend on besides the script: of other trials than the baseline, what differs."""
    own, first = (each.outcome.conditions if each.outcome is not None else {} for each in (trial, baseline))
    names = own if trial is baseline else (name for name in own if own[name] != first.get(name))
    return [(one_line(name), one_line(own[name])) for name in names]


def fair_share(lengths: list[int], total: int) -> int:
    """Return the length to cut texts to so that their total fits; short texts leave their share to longer ones."""
    left = total
    for n_done, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - n_done)
        if length > share:
            return share
        left -= length
    return max(lengths, default=0)


@dataclass(frozen=True)
class TrialRow:
    """One trial as a row. Missing numbers are None and sort last."""

    mark: str  # index of the run on the page, and number of the trial: 0/7
    run_id: str
    number: int
    commit: str
    verdict: str
    symbol: str  # distinguishes verdicts without colour
    tone: str  # kept (and not rolled back since), reverted or failed
    value: float | None  # of the metric
    change: float | None  # from the incumbent that it was judged against
    memory_gb: float | None
    seconds: float | None  # wall time of training
    origin: str
    title: str


def rows(stored: StoredRun, index: int) -> Iterator[TrialRow]:
    """Yield the finished trials of the run with that index on the page."""
    for trial in stored.history.trials:
        yield _row(stored, trial, index)


def _row(stored: StoredRun, trial: Trial, index: int) -> TrialRow:
    outcome, metric, word = trial.outcome, stored.metric, verdict(trial).replace("_", " ")
    assert outcome is not None, "a page is about finished trials"
    value = None if outcome.val_loss is None else metric.display(outcome.val_loss)
    title = one_line(trial.proposal.title)
    if trial.proposal.copied_from:
        title = f"[copy of {trial.proposal.copied_from}] {title}"
    if trial.proposal.offer is not None:
        title = f"[{trial.proposal.offer.description}] {title}"
    if outcome.flags:
        title = f"[{one_line(outcome.flags[0])}] {title}"
    tone = "failed" if value is None else "kept" if stands(trial) else "reverted"
    return TrialRow(
        mark=f"{index}/{trial.number}",
        run_id=stored.run_id,
        number=trial.number,
        commit=stored.hashes.get(trial.number, "")[:7],
        verdict=word,
        symbol=_SYMBOLS.get(word, _SYMBOLS[tone]),
        tone=tone,
        value=value,
        change=change(trial, stored.history.incumbent_before(trial.number), metric),
        memory_gb=outcome.peak_vram_gb or outcome.peak_memory_gb,
        seconds=outcome.wall_seconds or None,
        origin=trial.proposal.origin.value,
        title=f"{title}: {one_line(outcome.reason)}" if outcome.reason else title,
    )


def differences(
    stored: StoredRun, baseline: str, numbers: Collection[int] | None = None
) -> Iterator[tuple[Trial, list[DiffRow]]]:
    """Yield each finished trial with the differences from its parent's script; the baseline has none.

    `numbers`: of the trials that are wanted; None: all.
    """
    sources = {0: baseline}
    for trial in stored.history.trials:
        is_wanted = numbers is None or trial.number in numbers
        if trial.parent is None:
            if is_wanted:
                yield trial, []
            continue
        if not (is_wanted or trial.kept):
            continue
        before = sources[trial.parent]
        after = trial.proposal.edit.apply(before)
        if trial.kept:
            sources[trial.number] = after
        if is_wanted:
            yield trial, side_by_side(before, after)


def overall_difference(stored: StoredRun, baseline: str, number: int) -> list[DiffRow]:
    """Return the differences from the baseline's script to that of trial `number`."""
    script = baseline
    for trial in stored.lineage(number)[1:]:
        script = trial.proposal.edit.apply(script)
    return side_by_side(baseline, script)


@dataclass(frozen=True)
class KeptEdit:
    """One of the edits that lead from the baseline to the result."""

    mark: str  # of its trial: 0/7
    number: int
    title: str
    verdict: str
    value: float  # of the metric
    change: float | None  # of the metric, from the incumbent that it was judged against
    rows: Sequence[DiffRow]  # from its parent's script
    n_left_out: int  # rows that are not shown


def kept_edits(stored: StoredRun, baseline: str, index: int) -> list[KeptEdit]:
    """Return the edits from the baseline to the run's best trial, with at most `_MOST_ROWS` rows in all."""
    if stored.best is None:
        return []
    found, script, left = list[KeptEdit](), baseline, _MOST_ROWS
    for trial in stored.lineage(stored.best.number)[1:]:
        before, script = script, trial.proposal.edit.apply(script)
        every = side_by_side(before, script)
        row, visible = _row(stored, trial, index), every[:left]
        left -= len(visible)
        assert row.value is not None, "a kept trial has a loss"
        found.append(
            KeptEdit(
                row.mark,
                trial.number,
                row.title,
                row.verdict,
                row.value,
                row.change,
                visible,
                len(every) - len(visible),
            )
        )
    return found
