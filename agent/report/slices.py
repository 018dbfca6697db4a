"""Results of a run on slices of unseen text: the published result, the pool, each confirmation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.execution.slices.source import Openings
from agent.report.table import Table
from agent.store.stored_run import StoredRun
from agent.task.score_kinds import HELD_OUT, PREDICTIONS, find_score_kind, is_self_reported
from agent.text import one_line, plural
from agent.trials.history import History
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, RESULT, SlicePurpose, SliceUse
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import KeepState

SELF_REPORTED = "the score is self-reported"
OVER_BASELINE = f"{RESULT}-{BASELINE}"


@dataclass(frozen=True)
class PoolSize:
    """How many slices a run's pool has."""

    n_slices: int
    n_untouched: int | None = None  # slices that no run of this machine has opened; None: unknown


@dataclass(frozen=True)
class Published:
    """The result of a run and its baseline, on text used neither to train nor to choose them. Metric units."""

    trial: int
    slice: int
    result: float  # mean loss of the result's runs, minimised
    baseline: float  # loss of the baseline's first run, minimised
    lead: Lead  # of the result over the baseline; its error covers training seeds and text sampling
    n_runs: int  # runs of the result
    held_out: bool  # True: those runs used held-out seeds; False: the slice is the one that confirmed the result
    n_other_runs: int  # other runs of this machine that had opened the slice before
    unseen: str  # content of the slice: "unseen text" or "unseen examples"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; losses are minimised, the lead is positive where the result is better."""
        return {
            "trial": self.trial, "slice": self.slice, "loss": self.result, "baseline_loss": self.baseline,
            "lead": self.lead.mean, "error": self.lead.error, "runs": self.n_runs, "held_out": self.held_out,
            "other_runs": self.n_other_runs,
        }  # fmt: skip


def with_seed_noise(lead: Lead, sigma: float, n_runs: int) -> Lead:
    """Return a result's lead over the baseline with the standard error to publish.

    The error e of `lead` covers text sampling only. Each model is also one draw of a training seed, with standard
    deviation sigma. For the mean of n models of the result and one model of the baseline,

        error = √(e² + sigma² (1/n + 1)).

    Args:
        lead: measured on the slice, in the metric's unit.
        sigma: standard deviation of one script's loss over training seeds, in the same unit.
        n_runs: number n of models of the result.
    """
    return Lead(lead.mean, math.hypot(lead.error, sigma * math.sqrt(1 / n_runs + 1)))


def published(history: History, keeper: KeepPolicy) -> Published | None:
    """Return the result of a run on slices; None if no slice confirmed a gain.

    The result is measured on the slice of the final runs or, without final runs, on the slice that confirmed the
    champion.
    """
    deciding = (
        [use for use in history.slices if use.has_result and use.trial == keeper.champion] if keeper.champion else []
    )
    final = [use for use in deciding if use.score is not None and OVER_BASELINE in use.score.leads]
    confirming = [use for use in deciding if use.purpose is SlicePurpose.CONFIRM]
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
    """Return the size of a stored run's pool; None if the run does not confirm gains on slices.

    `cache`: the folder of prepared data, which records the slices opened by other runs of this machine; None: leave
    `n_untouched` unknown.
    """
    config = stored.config
    if config.pool is None or not stored.keeper.on_slices:
        return None
    openings = Openings.of_pool(cache, config.task_name, config.pool) if cache is not None else None
    return PoolSize(config.n_slices, None if openings is None else openings.n_untouched(config.n_slices))


def why_repeated(history: History, keeper: KeepPolicy) -> str:
    """Return why a run's gains are only repeated; empty if slices confirm them, or the run repeats nothing."""
    if keeper.rule.kind != "two-tier" or keeper.on_slices:
        return ""
    first = history.trials[0].outcome if history.trials else None
    if first is not None and first.score is not None and is_self_reported(first.score.kind):
        return SELF_REPORTED
    if keeper.rule.why_no_slices == KeepRule.why_no_slices and unseen(history) == PREDICTIONS.unseen:
        return "no validation examples are reserved for slices"
    return keeper.why_no_slices or keeper.rule.why_no_slices


def unseen(history: History) -> str:
    """Return the content of a run's slices: "unseen text" or "unseen examples"."""
    first = history.trials[0].outcome if history.trials else None
    return unseen_by(first.score.kind if first is not None and first.score is not None else "")


def unseen_by(score_kind: str) -> str:
    """Return the content of slices for a kind of score: "unseen text" or "unseen examples"."""
    return (find_score_kind(score_kind) or HELD_OUT).unseen


def result_words(found: Published, metric: Metric) -> str:
    """Return a result, the baseline, and their difference with its standard error, in words."""
    runs = plural(found.n_runs, "held-out run") if found.held_out else "the confirming run"
    result, baseline = metric.display(found.result), metric.display(found.baseline)
    return (
        f"{metric.name} {result:.6f} on {found.unseen}, the baseline {baseline:.6f}: "
        f"{_better(found.lead)} (slice {found.slice}, {runs}{_before([found.n_other_runs])})"
    )


def pool_lines(history: History, keeper: KeepPolicy, pool: PoolSize) -> list[str]:
    """Return how many slices of the pool were opened, their flags, and how many are left."""
    n_opened = len(history.slices)
    burned = [use for use in history.slices if use.score is not None and use.score.is_burned]
    line = f"pool: {plural(pool.n_slices, 'slice')}, {n_opened} opened"
    line += f" ({len(burned)} burned)" if burned else ""
    if pool.n_untouched is not None:
        line += f", {pool.n_untouched} never opened by any run of this machine"
    lines = [line]
    for use in history.slices:
        lines += [f"  slice {use.number}: {one_line(flag)}" for flag in use.score.flags] if use.score else []
    if n_opened >= pool.n_slices:
        lines.append("  the pool is used up: this run can confirm no further gain")
    elif keeper.is_used_up:
        lines.append(
            "  the pool is used up except for the slice of the final runs: this run can confirm no further gain"
        )
    return lines


def confirmable(keeper: KeepPolicy, expected_error: float | None, metric: Metric, score_kind: str) -> list[str]:
    """Return the smallest gain that one slice can confirm, and a warning if larger slices could confirm smaller gains.

    Args:
        expected_error: expected standard error of sampling of a lead on one slice, metric units; None: unknown.
    """
    if keeper.is_used_up:
        return ["the pool is used up: this run can confirm no further gain"]
    first = f"gains are confirmed on {unseen_by(score_kind)} ({plural(keeper.rule.n_slices, 'slice')})"
    sigma = keeper.sigma if keeper.champion is not None else keeper.rule.sigma
    error = "unknown in advance" if expected_error is None else f"{expected_error:.2g}"
    of = f"the sampling error of a slice is {error}"
    if sigma is None:
        guess = f"sigma is taken as {100 * keeper.rule.sigma_share:g} % of the baseline's loss until repeats measure it"
        return [f"{first}; the smallest gain that can be confirmed depends on sigma: {guess}, and {of}"]
    least = keeper.tests.bar * math.hypot(sigma * math.sqrt(2), expected_error or 0.0)
    more = "" if expected_error is not None else " or more"
    lines = [f"{first}; a gain must exceed {least:.2g} {metric.name}{more}: sigma is {sigma:.2g}, and {of}"]
    if expected_error is not None and expected_error > sigma / 2:
        row = find_score_kind(score_kind)
        keys = "" if row is None or not row.takes_pool else " (slice_sequences and pool_rounds in [data] of task.toml)"
        lines.append(
            f"warning: the sampling error of a slice, {error}, is more than half of sigma, {sigma:.2g}: larger "
            f"slices could confirm smaller gains{keys}"
        )
    return lines


def decision_text(repeat: Repeat, metric: Metric) -> str:
    """Return the result of a confirmation and its reasons."""
    verdict = repeat.verdict
    assert verdict is not None
    burned = [use for use in repeat.slices if use.score is not None and use.score.is_burned]
    parts = [_lead(repeat, metric)] if verdict.n_errors is not None else []
    if verdict.n_errors is None and not verdict.reason:
        parts.append(f"lead {verdict.lead:.1f} sigma")
    parts += [verdict.reason] if verdict.reason else []
    if verdict.standing is KeepState.PROVISIONAL and verdict.n_errors is not None:
        is_first = len(repeat.tested_on) == 1
        follows = "a second seed is tested on a second slice, if one is left"
        parts.append(follows if is_first else "it stays provisional")
    for use in burned:
        assert use.score is not None
        parts.append(f"slice {use.number} was burned by the {use.score.burned_by}: {use.score.reason}")
    parts += [f"flag: {flag}" for use in repeat.slices if use.score is not None for flag in use.score.flags]
    return one_line("; ".join(parts))


def _lead(repeat: Repeat, metric: Metric) -> str:
    """Return the lead that decided a verdict, in words: the mean over the slices that were scored."""
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
    """Return one row for every slice that the named runs have opened."""
    columns = ("run", "slice", "opened for", "baseline", "champion", "tested", "lead over the champion",
               "lead over the baseline", "result")  # fmt: skip
    return Table(columns, [_row(run_id, use, history, metric) for run_id, history in runs for use in history.slices])


def _row(run_id: str, use: SliceUse, history: History, metric: Metric) -> list[str]:
    purpose = "final runs" if use.purpose is SlicePurpose.FINAL else "confirmation"
    cells = [run_id, str(use.number), f"{purpose}: trial {use.trial}"]
    if use.score is None:
        return [*cells, "", "", "", "", "", "not scored yet"]
    losses = use.score.losses
    tested = [loss for name, loss in losses.items() if name == CHALLENGER or name.startswith(RESULT)]
    means = (losses.get(BASELINE), losses.get(use.against), sum(tested) / len(tested) if tested else None)
    leads = [use.score.leads.get(pair) for pair in (f"{CHALLENGER}-{use.against}", f"{CHALLENGER}-{BASELINE}")]
    leads[1] = leads[1] or use.score.leads.get(OVER_BASELINE)
    cells += ["" if loss is None else f"{metric.display(loss):.6f}" for loss in means]
    cells += ["" if lead is None else f"{lead.mean:+.4g} ± {lead.error:.2g}" for lead in leads]
    return [*cells, _outcome(use, history)]


def _outcome(use: SliceUse, history: History) -> str:
    """Return the result of a scored slice: whether it was burned, its verdict, its flags."""
    assert use.score is not None
    parts = [f"burned by the {use.score.burned_by}: {use.score.reason}"] if use.score.is_burned else []
    parts += ["published"] if use.purpose is SlicePurpose.FINAL and use.has_result else []
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
    """Return how many other runs had opened each slice before, in words; empty if none had."""
    if not any(n_other_runs):
        return ""
    *first, last = n_other_runs
    counts = "".join(f"{n} and " for n in first)
    return f", opened before by {counts}{plural(last, 'other run')} of this machine"
