"""What slices of unseen text have told about a run: in words, and as the result that is published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.execution.slices.source import Openings
from agent.report.table import Table
from agent.store.stored_run import StoredRun
from agent.task.score_kinds import HELD_OUT, PREDICTIONS, find_score_kind, is_self_reported
from agent.text import counted, one_line
from agent.trials.confirmations import BASELINE, CHALLENGER, RESULT, SlicePurpose, SliceUse
from agent.trials.history import History
from agent.trials.keep_rule import Keeper, KeepRule
from agent.trials.metric import Metric
from agent.trials.noise import Lead
from agent.trials.repeat import Repeat
from agent.trials.trial import Standing

SELF_REPORTED = "the score is self-reported"
OVER_BASELINE = f"{RESULT}-{BASELINE}"


@dataclass(frozen=True)
class PoolSize:
    """How many slices a run's pool has."""

    n_slices: int
    n_untouched: int | None = None  # that no run of this machine has opened; None: not known here


@dataclass(frozen=True)
class Published:
    """The result of a run beside the baseline, on text that neither was trained on or chosen by. Metric units."""

    trial: int
    slice: int
    result: float  # loss, minimised: mean of its runs
    baseline: float  # loss, minimised: of its first run
    lead: Lead  # by how much the result is better; its error is that of training seeds and of sampling the text
    n_runs: int  # of the result
    held_out: bool  # whether those were under seeds that decided nothing; False: the slice is the one that confirmed it
    n_other_runs: int  # of this machine, that had opened the slice before
    unseen: str  # what the slice is of

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; losses are minimised, the lead is positive where the result is better."""
        return {
            "trial": self.trial, "slice": self.slice, "loss": self.result, "baseline_loss": self.baseline,
            "lead": self.lead.mean, "error": self.lead.error, "runs": self.n_runs, "held_out": self.held_out,
            "other_runs": self.n_other_runs,
        }  # fmt: skip


def with_seed_noise(lead: Lead, sigma: float, n_runs: int) -> Lead:
    """Return a result's lead over the baseline with the error to publish.

    A slice tells the error of sampling its text, e. The scripts differ by more: each model on it is one draw of a
    training seed, of standard deviation sigma. With the mean of n models of the result and one of the baseline,

        error = √(e² + sigma² (1/n + 1)).

    Args:
        lead: as told by the slice, in the metric's unit.
        sigma: of the loss of one script over training seeds, in the same unit.
        n_runs: models of the result.
    """
    return Lead(lead.mean, math.hypot(lead.error, sigma * math.sqrt(1 / n_runs + 1)))


def published(history: History, keeper: Keeper) -> Published | None:
    """Return the result of a run as slices tell it; None where they have confirmed nothing.

    It is the slice of the final runs or, where there were none, the slice that confirmed the champion.
    """
    told = [use for use in history.slices if use.tells and use.trial == keeper.champion] if keeper.champion else []
    final = [use for use in told if use.score is not None and OVER_BASELINE in use.score.leads]
    confirming = [use for use in told if use.purpose is SlicePurpose.CONFIRM]
    if not final and not confirming:
        return None
    use = (final or confirming)[-1]
    assert use.score is not None
    losses = [loss for name, loss in use.score.losses.items() if name.startswith(RESULT if final else CHALLENGER)]
    lead = use.lead(RESULT if final else CHALLENGER, BASELINE)
    return Published(
        use.trial, use.number, sum(losses) / len(losses), use.score.losses[BASELINE],
        with_seed_noise(lead, keeper.sigma, len(losses)), len(losses), bool(final), use.n_other_runs, unseen(history),
    )  # fmt: skip


def pool_size(stored: StoredRun, cache: Path | None = None) -> PoolSize | None:
    """Return the size of a stored run's pool; None where slices confirm nothing.

    `cache`: the folder of prepared data, which says what other runs of this machine have opened; None: nobody asks.
    """
    config = stored.config
    if config.pool is None or not stored.keeper.on_slices:
        return None
    openings = Openings.of_pool(cache, config.task_name, config.pool) if cache is not None else None
    return PoolSize(config.n_slices, None if openings is None else openings.n_untouched(config.n_slices))


def why_repeated(history: History, keeper: Keeper) -> str:
    """Return why gains of a run are repeated and not confirmed; empty where slices confirm them, or nothing does."""
    if keeper.rule.kind != "two-tier" or keeper.on_slices:
        return ""
    first = history.trials[0].outcome if history.trials else None
    if first is not None and first.score is not None and is_self_reported(first.score.kind):
        return SELF_REPORTED
    if keeper.rule.why_no_slices == KeepRule.why_no_slices and unseen(history) == PREDICTIONS.unseen:
        return "no validation examples are kept back for slices"
    return keeper.why_no_slices or keeper.rule.why_no_slices


def unseen(history: History) -> str:
    """Return what the slices of a run are of, in words."""
    first = history.trials[0].outcome if history.trials else None
    return unseen_by(first.score.kind if first is not None and first.score is not None else "")


def unseen_by(score_kind: str) -> str:
    """Return what slices are of where the score is of that kind, in words."""
    return (find_score_kind(score_kind) or HELD_OUT).unseen


def result_words(found: Published, metric: Metric) -> str:
    """Return a result with the baseline beside it, and the difference with its error."""
    runs = counted(found.n_runs, "held-out run") if found.held_out else "the run that it confirmed"
    result, baseline = metric.shown(found.result), metric.shown(found.baseline)
    return (
        f"{metric.name} {result:.6f} on {found.unseen}, the baseline {baseline:.6f}: "
        f"{_better(found.lead)} (slice {found.slice}, {runs}{_before([found.n_other_runs])})"
    )


def pool_lines(history: History, keeper: Keeper, pool: PoolSize) -> list[str]:
    """Return what has been opened of the pool, what was odd about it, and what is left."""
    n_opened = len(history.slices)
    burned = [use for use in history.slices if use.score is not None and use.score.is_burned]
    line = f"pool: {counted(pool.n_slices, 'slice')}, {n_opened} opened"
    line += f" ({len(burned)} burned)" if burned else ""
    if pool.n_untouched is not None:
        line += f", {pool.n_untouched} not yet by any run of this machine"
    lines = [line]
    for use in history.slices:
        lines += [f"  slice {use.number}: {one_line(flag)}" for flag in use.score.flags] if use.score else []
    if n_opened >= pool.n_slices:
        lines.append("  the pool is used up: nothing more can be confirmed in this run")
    elif keeper.is_used_up:
        lines.append(
            "  the pool is used up but for the slice of the final runs: nothing more can be confirmed in this run"
        )
    return lines


def confirmable(keeper: Keeper, expected_error: float | None, metric: Metric, score_kind: str) -> list[str]:
    """Return which gain a run can confirm on one slice, and a warning where larger slices would confirm smaller ones.

    Args:
        expected_error: standard error of sampling that a lead on one slice is expected to have, metric units; None:
            unknown.
    """
    if keeper.is_used_up:
        return ["the pool is used up: nothing more can be confirmed in this run"]
    first = (
        f"gains are confirmed on {unseen_by(score_kind)}, of which there are {counted(keeper.rule.n_slices, 'slice')}"
    )
    sigma = keeper.sigma if keeper.champion is not None else keeper.rule.sigma
    error = "not known beforehand" if expected_error is None else f"{expected_error:.2g}"
    of = f"the sampling error of a slice is {error}"
    if sigma is None:
        guess = (
            f"sigma is taken to be {100 * keeper.rule.sigma_share:g} % of the baseline's loss, until repeats teach it"
        )
        return [f"{first}: how large they must be depends on the noise of one run; {guess}, and {of}"]
    least = keeper.tests.bar * math.hypot(sigma * math.sqrt(2), expected_error or 0.0)
    known = "" if expected_error is not None else " at least"
    lines = [f"{first}: they must be larger than{known} {least:.2g} {metric.name}, for sigma is {sigma:.2g} and {of}"]
    if expected_error is not None and expected_error > sigma / 2:
        row = find_score_kind(score_kind)
        keys = "" if row is None or not row.takes_pool else " (slice_sequences and pool_rounds in [data] of task.toml)"
        lines.append(
            f"warning: the sampling error of a slice, {error}, is more than half of sigma, {sigma:.2g}: with larger "
            f"slices smaller gains can be confirmed{keys}"
        )
    return lines


def decided(repeat: Repeat, metric: Metric) -> str:
    """Return what a confirmation has decided, and by what."""
    verdict = repeat.verdict
    assert verdict is not None
    burned = [use for use in repeat.slices if use.score is not None and use.score.is_burned]
    parts = [_lead(repeat, metric)] if verdict.n_errors is not None else []
    if verdict.n_errors is None and not verdict.reason:
        parts.append(f"lead {verdict.lead:.1f} sigma")
    parts += [verdict.reason] if verdict.reason else []
    if verdict.standing is Standing.PROVISIONAL and verdict.n_errors is not None:
        is_first = len(repeat.tested_on) == 1
        parts.append("a second seed follows on a second slice, if one is left" if is_first else "it stays provisional")
    for use in burned:
        assert use.score is not None
        parts.append(f"slice {use.number} was burned by the {use.score.burned_by}: {use.score.reason}")
    parts += [f"flag: {flag}" for use in repeat.slices if use.score is not None for flag in use.score.flags]
    return one_line("; ".join(parts))


def _lead(repeat: Repeat, metric: Metric) -> str:
    """Return the lead that a verdict goes by: the mean of the slices that tell."""
    verdict, uses = repeat.verdict, repeat.tested_on
    assert verdict is not None
    lead = Lead.pooled([use.lead(CHALLENGER, use.against) for use in uses])
    score = repeat.outcome.score if repeat.outcome is not None else None
    where = unseen_by(score.kind if score is not None else "")
    numbers = " and ".join(str(use.number) for use in uses)
    return (
        f"{_better(lead, metric.name)} than the champion on {where} ({verdict.n_errors:.1f} standard errors, "
        f"{verdict.bar:g} needed), {'slice' if len(uses) == 1 else 'mean of slices'} {numbers}"
        f"{_before([use.n_other_runs for use in uses])}"
    )


def slices_table(runs: Sequence[tuple[str, History]], metric: Metric) -> Table:
    """Return every slice that some runs, by name, have opened, one row each."""
    columns = ("run", "slice", "opened for", "baseline", "champion", "tested", "better than the champion",
               "better than the baseline", "what came of it")  # fmt: skip
    return Table(columns, [_row(run_id, use, history, metric) for run_id, history in runs for use in history.slices])


def _row(run_id: str, use: SliceUse, history: History, metric: Metric) -> list[str]:
    purpose = "the result" if use.purpose is SlicePurpose.FINAL else "a test"
    cells = [run_id, str(use.number), f"{purpose}: trial {use.trial}"]
    if use.score is None:
        return [*cells, "", "", "", "", "", "not scored yet"]
    losses = use.score.losses
    tested = [loss for name, loss in losses.items() if name == CHALLENGER or name.startswith(RESULT)]
    means = (losses.get(BASELINE), losses.get(use.against), sum(tested) / len(tested) if tested else None)
    leads = [use.score.leads.get(pair) for pair in (f"{CHALLENGER}-{use.against}", f"{CHALLENGER}-{BASELINE}")]
    leads[1] = leads[1] or use.score.leads.get(OVER_BASELINE)
    cells += ["" if loss is None else f"{metric.shown(loss):.6f}" for loss in means]
    cells += ["" if lead is None else f"{lead.mean:+.4g} ± {lead.error:.2g}" for lead in leads]
    return [*cells, _outcome(use, history)]


def _outcome(use: SliceUse, history: History) -> str:
    """Return what came of a scored slice: burned, the verdict that it led to, what is odd."""
    assert use.score is not None
    parts = [f"burned by the {use.score.burned_by}: {use.score.reason}"] if use.score.is_burned else []
    parts += ["published"] if use.purpose is SlicePurpose.FINAL and use.tells else []
    for repeat in history.repeats:
        if use in repeat.slices and repeat.verdict is not None and not use.score.is_burned:
            verdict = repeat.verdict
            parts.append(verdict.standing.value.replace("_", " ") + (f": {verdict.reason}" if verdict.reason else ""))
    parts += [f"flag: {flag}" for flag in use.score.flags]
    parts += [_before([use.n_other_runs]).removeprefix(", ")] if use.n_other_runs else []
    return one_line("; ".join(parts))


def slice_json(use: SliceUse) -> dict[str, Any]:
    """Return a slice as the JSON document that `--json` prints; losses are minimised."""
    return {
        "slice": use.number,
        "purpose": use.purpose.value,
        "trial": use.trial,
        "models": {name: {"trial": entrant.trial, "seed": entrant.seed} for name, entrant in use.entrants.items()},
        "other_runs": use.n_other_runs,
        "opened_at": use.opened_at,
        "score": use.score.to_json() if use.score is not None else None,
    }


def _better(lead: Lead, unit: str = "") -> str:
    """Return a lead as `0.2935 ± 0.027 val_bpb better`."""
    shown = replace(lead, mean=abs(lead.mean))
    return f"{shown.mean:.4g} ± {shown.error:.2g} {unit + ' ' if unit else ''}{'better' if lead.mean > 0 else 'worse'}"


def _before(n_other_runs: Sequence[int]) -> str:
    """Return how many other runs had opened slices before, in the order of these; nothing if none had."""
    if not any(n_other_runs):
        return ""
    *first, last = n_other_runs
    counts = "".join(f"{n} and " for n in first)
    return f", opened before by {counts}{counted(last, 'other run')} of this machine"
