"""What a reader of a page should look at: commands to continue with, and what the records warn of."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.analysis.ablation_log import attributed
from agent.report.html.tables import RunOnPage
from agent.report.run_summary import is_measured
from agent.report.runs_table import state_word
from agent.report.slices import published
from agent.store.run_lock import holder
from agent.store.stored_run import ratchet
from agent.text import one_line, plural
from agent.trials.trial import Trial

_MOST_LINKS = 8  # trials that one caution links to
_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")
_MANY_FAILURES = 0.3  # share of trials without a loss from which the page points to them


@dataclass(frozen=True)
class NextCommand:
    """A command to continue with, and its purpose."""

    command: str
    purpose: str


@dataclass(frozen=True)
class Caution:
    """Something in the records that a reader should know before trusting the result."""

    text: str
    trials: tuple[tuple[str, str], ...] = ()  # mark (`0/7`) and name of the trials that it is about; not all of many
    n_more: int = 0  # further trials


def next_commands(run: RunOnPage) -> list[NextCommand]:
    """Return the commands to continue with after a run, the most useful first."""
    return list(_commands(run))


def _commands(run: RunOnPage) -> Iterator[NextCommand]:
    stored, keeper, best = run.stored, run.stored.keeper, run.stored.best
    name, failed = stored.run_id, [trial for trial in run.trials if trial.val_loss is None]
    if best is None:
        yield NextCommand(f"agent show {name}/0", "why the baseline failed, with the end of its log")
        return
    if best.number:
        kept = ratchet(stored)[1:]
        yield NextCommand(f"agent show {name}/{best.number}", "the result in full: evidence, diff, log")
        yield NextCommand(
            f"agent export {name} --to REPO --branch NAME", "the kept edits as commits of your repository"
        )
        if run.verified is None and run.on_slice is None and not run.task.score.row.is_self_reported:
            yield NextCommand(f"agent best {name} --verify", "scores the result once on data that no search has seen")
        if len(kept) > 1 and attributed(stored) is None:
            yield NextCommand(f"agent attribute {name}", f"which of {len(kept)} kept edits carry the gain")
    if state_word(stored, holder(stored.paths)) in ("interrupted", "paused"):
        yield NextCommand(f"agent resume {name}", "continues the run")
    if not is_measured(keeper) and not keeper.noise.is_unobservable:
        yield NextCommand(f"agent noise {name}/{best.number}", "measures the noise of one run, which is a guess so far")
    if len(failed) > _MANY_FAILURES * len(run.trials):
        yield NextCommand(f"agent show {name}/{failed[-1].number}", f"one of {len(failed)} trials without a loss")


def cautions(runs: Sequence[RunOnPage]) -> list[Caution]:
    """Return what the records of these runs warn of. Trials of all runs with the same flag are listed together."""
    is_one = len(runs) == 1
    flagged: dict[str, dict[str, str]] = {}  # by the text without its numbers, which differ from trial to trial
    texts: dict[str, set[str]] = {}
    for index, run in enumerate(runs):
        for trial in run.trials:
            name = f"trial {trial.number}" if is_one else f"{run.stored.run_id}/{trial.number}"
            for text in _flags(trial):
                kind = _NUMBER.sub("…", text)
                flagged.setdefault(kind, {})[f"{index}/{trial.number}"] = name
                texts.setdefault(kind, set()).add(text)
    found = [Caution(f"{'' if is_one else f'{run.stored.run_id}: '}{text}") for run in runs for text in _about(run)]
    flag_cautions = [
        Caution(
            min(texts[kind]) if len(texts[kind]) == 1 else kind,
            tuple(all_.items())[:_MOST_LINKS],
            max(0, len(all_) - _MOST_LINKS),
        )
        for kind, all_ in flagged.items()
    ]
    if any(run.task.score.row.is_self_reported for run in runs):
        name = runs[0].stored.metric.name
        found.insert(0, Caution(f"{name} is self-reported: scripts printed it, and nothing checked it"))
    return [*found, *flag_cautions]


def _about(run: RunOnPage) -> Iterator[str]:
    """Yield what the slices of a run warn of."""
    found = published(run.stored.history, run.stored.keeper)
    if found is not None and found.n_other_runs:
        others = plural(found.n_other_runs, "other run")
        yield f"slice {found.slice}, on which the result is published, was opened before by {others}"
    for use in run.stored.history.slices:
        if use.score is not None and use.score.is_burned:
            yield one_line(f"slice {use.number} was burned by the {use.score.burned_by}: {use.score.reason}")
        for flag in use.score.flags if use.score is not None else ():
            yield f"slice {use.number}: {one_line(flag)}"


def _flags(trial: Trial) -> Iterator[str]:
    """Yield what a trial's records warn of, in words that equal trials share."""
    outcome = trial.outcome
    if outcome is None:
        return
    if outcome.metric_edit:
        yield "edits the code that prints or writes the score"
    if outcome.is_over_budget:
        yield "used more than its budget pays for, so its loss decides nothing"
    submission = trial.proposal.submission
    if submission is not None and submission.is_client_trusted:
        yield "sent by a trusted client, which could read the data of this machine"
    yield from (f"not enforced: {one_line(line)}" for line in outcome.unenforced)
    yield from (one_line(flag) for flag in outcome.flags)
