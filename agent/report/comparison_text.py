"""A comparison of modes as aligned text tables and as a JSON document."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from agent.analysis.comparison import Comparison
from agent.analysis.comparison_statistics import SHARES, Axis, ModeFigures, ResultBasis, RunFigures, added
from agent.analysis.unseen.common_slice import CommonSlice
from agent.report.run_summary import spent_time
from agent.report.slices import unseen_by
from agent.report.table import Table
from agent.report.terminal import sentences
from agent.run.ending import RunState
from agent.text import plural
from agent.trials.budget import Ledger, duration
from agent.trials.keeping.noise import MeanEstimate
from agent.trials.metric import Metric

NO_NUMBER = "-"
_AT = dict(zip(SHARES, ("1/4", "1/2", "3/4"), strict=True))


def comparison_text(
    comparison: Comparison,
    rows: Sequence[ModeFigures],
    metric: Metric,
    unseen: CommonSlice | None = None,
    *,
    self_reported: bool,
    columns: int | None = None,
) -> list[str]:
    """Return the tables and sentences of a comparison, as lines.

    Args:
        unseen: the results on a common slice of unseen text; None: no slice was opened for them.
        self_reported: whether scripts printed their own losses.
        columns: width of the terminal, at which sentences are wrapped; None: no wrapping.
    """
    digits = digits_of(rows)
    runs = [run for row in rows for run in row.runs]
    lines = [f"comparison {comparison.name}: {counts_text(runs)}"]
    lines += [f"budget of each run: {Axis.of(comparison.config).unit}"]
    lines += [baseline_text(runs, metric, digits)]
    if self_reported:
        lines.append(f"{metric.name} is self-reported: scripts printed it, and nothing checked it")
    n_workers = comparison.config.workers
    for table in tables(rows, metric, unseen, n_workers):
        lines += ["", *sentences([table.caption], columns), *_aligned(table)]
    remark = slice_remark(comparison.name, unseen)
    lines += ["", *sentences([remark], columns)] if remark else []
    return [*lines, "", f"all runs together: {_spent(added(run.ledger for run in runs), n_workers)}"]


def tables(rows: Sequence[ModeFigures], metric: Metric, unseen: CommonSlice | None, n_workers: int) -> list[Table]:
    """Return the tables of a comparison: best losses, results, results on unseen text, counts and cost.

    `unseen`: the results on a common slice; None, or a burned slice: they get no table.
    """
    digits = digits_of(rows)
    found = [best_table(rows, metric, digits), result_table(rows, metric, digits)]
    if unseen is not None and not unseen.score.is_burned:
        found.append(unseen_table(rows, metric, digits, unseen))
    return [*found, trials_table(rows, n_workers)]


def best_table(rows: Sequence[ModeFigures], metric: Metric, digits: int) -> Table:
    """Return the best loss of each mode, over the budget, and its difference to the reference mode."""
    reference = _reference(rows)
    caption = (
        f"best {metric.name}: each run's best kept trial (selected, so biased towards good values); mean over seeds ± "
        "standard deviation, 95 % intervals by Student's t"
    )
    at = [f"at {_AT[share]}" for share in SHARES]
    columns = ("mode", "runs", f"best {metric.name}", "95 % interval", *at, "at the end", f"minus {reference}, by seed")
    cells = []
    for row in rows:
        best = row.over_seeds(lambda run: run.best)
        early = [row.over_seeds(lambda run, i=i: run.at_shares[i]) for i in range(len(SHARES))]  # type: ignore[misc]
        late = best if row.runs and all(run.state is not RunState.GOING_ON for run in row.runs) else None
        cells.append([
            row.mode, str(len(row.runs)), _mean_and_std(best, metric, digits), interval_text(best, metric, digits),
            *(NO_NUMBER if each is None else f"{metric.display(each.mean):.{digits}f}" for each in (*early, late)),
            _difference(row.minus, metric, digits),
        ])  # fmt: skip
    return Table(columns, cells, caption)


def result_table(rows: Sequence[ModeFigures], metric: Metric, digits: int) -> Table:
    """Return the results that the runs may publish, and the kind of runs behind each."""
    caption = f"result: the {metric.name} that a run may publish, and its basis (docs/keep-rule.md)"
    cells = []
    for row in rows:
        found = row.over_seeds(lambda run: run.result)
        made = Counter(run.made for run in row.runs)
        bases = ", ".join(f"{made[kind]} × {kind}" for kind in ResultBasis if made[kind])
        cells.append([row.mode, _mean_and_std(found, metric, digits), interval_text(found, metric, digits), bases])
    return Table(("mode", "result", "95 % interval", "runs by basis"), cells, caption)


def unseen_table(rows: Sequence[ModeFigures], metric: Metric, digits: int, unseen: CommonSlice) -> Table:
    """Return each mode's results on the common slice of unseen text."""
    reference = _reference(rows)
    caption = (
        f"on {unseen_by(unseen.score_kind)} (slice {unseen.use.number} of the pool, "
        f"{_opened_before(unseen.use.n_other_runs)}): {metric.name} of the results, mean over seeds ± standard "
        f"deviation; the baseline's is {metric.display(unseen.baseline):.{digits}f}; leads and differences are paired, "
        "± the standard error of sampling; 95 % intervals over seeds, by Student's t"
    )
    cells = []
    for row in rows:
        loss, lead = row.over_seeds(lambda run: unseen.loss(run.run_id)), unseen.lead(row.mode)
        found, minus = _minus_on(unseen, row, rows), NO_NUMBER
        if not row.is_reference and found is not None:
            interval = "" if found.half is None else f" ({interval_text(found, metric, digits, '+')})"
            error = unseen.difference(row.mode, reference).error
            minus = f"{metric.display(found.mean):+.{digits}f} ± {error:.2g}{interval}"
        better = f"{lead.mean:+.{digits}f} ± {lead.error:.2g}"
        cells.append([row.mode, _mean_and_std(loss, metric, digits), better, minus])
    columns = ("mode", metric.name, "lead over the baseline", f"minus {reference}, by seed")
    return Table(columns, cells, caption)


def trials_table(rows: Sequence[ModeFigures], n_workers: int) -> Table:
    """Return counts of each mode's trials, and what they cost on `n_workers` workers."""
    caption = (
        "unique: distinct scripts among the trials that ran, baselines excluded; copies: trials whose values had been "
        "proposed before; repeats: share of the training time spent on running kept scripts again"
    )
    asks = any(row.ledger.usage for row in rows)
    columns = ["mode", "trials", "no loss", "out of memory", "unique", "copies", "repeats", "budget used", "wall time"]
    columns += ["device time"] if n_workers > 1 else []
    columns += ["calls", "tokens in", "tokens out", "dollars"] if asks else []
    cells = []
    for row in rows:
        ledger = row.ledger
        shares = [
            row.share(lambda run: run.n_lost, lambda run: run.n_trials),
            row.share(lambda run: run.n_out_of_memory, lambda run: run.n_trials),
            row.share(lambda run: run.n_unique, lambda run: run.n_ran),
            row.share(lambda run: run.n_copies, lambda run: run.n_trials),
            row.share(lambda run: run.repeat_seconds, lambda run: run.ledger.train_seconds),
        ]
        spent = [duration(ledger.train_seconds), duration(ledger.wall_seconds)]
        spent += [duration(ledger.device_seconds)] if n_workers > 1 else []
        cells.append([row.mode, str(ledger.trials), *(f"{share:.0%}" for share in shares), *spent])
        cells[-1] += _model_calls(ledger) if asks else []
    return Table(columns, cells, caption)


def document(
    comparison: Comparison, rows: Sequence[ModeFigures], metric: Metric, unseen: CommonSlice | None = None
) -> dict[str, Any]:
    """Return a comparison as the JSON document that `--json` prints; losses are minimised."""
    config, runs = comparison.config, [run for row in rows for run in row.runs]
    budget = {name: getattr(config, name) for name in ("trials", "budget_seconds", "wall_seconds")}
    return {
        "comparison": comparison.name,
        "task": config.task_name,
        "task_digest": config.task_digest,
        "metric": {"name": metric.name, "goal": metric.goal},
        "budget_of_each_run": budget,
        "reference": _reference(rows),
        "done": bool(runs) and all(run.state is not RunState.GOING_ON for run in runs),
        "modes": [_mode_json(row) for row in rows],
        "unseen": None if unseen is None else unseen.to_json(),
        "ledger": asdict(added(run.ledger for run in runs)),
    }


def _opened_before(n_other_runs: int) -> str:
    return f"which {plural(n_other_runs, 'other run')} had opened before" if n_other_runs else "opened once"


def _minus_on(unseen: CommonSlice, row: ModeFigures, rows: Sequence[ModeFigures]) -> MeanEstimate | None:
    """Return the difference to the reference on the slice, paired by seed; None if a run is missing."""
    others = {run.seed: unseen.loss(run.run_id) for each in rows if each.is_reference for run in each.runs}
    pairs = [(unseen.loss(run.run_id), others.get(run.seed)) for run in row.runs]
    known = [own - other for own, other in pairs if other is not None]
    return MeanEstimate.of(known) if known and len(known) == len(pairs) else None


def slice_remark(name: str, unseen: CommonSlice | None) -> str:
    """Return a remark on a slice that is burned, or was opened for earlier results; empty otherwise."""
    if unseen is None:
        return ""
    if unseen.score.is_burned:
        return (
            f"slice {unseen.use.number} was burned and gives no result: {unseen.score.burned_by}: {unseen.score.reason}"
        )
    if unseen.is_current:
        return ""
    return (
        f"the slice was opened at {unseen.use.opened_at}, and results have changed since then; "
        f"`agent compare --resume {name}` opens a slice for the present results"
    )


def _reference(rows: Sequence[ModeFigures]) -> str:
    return next(row.mode for row in rows if row.is_reference)


def _mode_json(row: ModeFigures) -> dict[str, Any]:
    def estimate(found: MeanEstimate | None) -> dict[str, Any] | None:
        return None if found is None else {**asdict(found), "low": found.low, "high": found.high}

    def run_json(run: RunFigures) -> dict[str, Any]:
        return {**asdict(run), "at_shares": dict(zip(_AT.values(), run.at_shares, strict=True))}

    at = {
        name: estimate(row.over_seeds(lambda run, i=i: run.at_shares[i]))  # type: ignore[misc]
        for i, name in enumerate(_AT.values())
    }
    return {
        "mode": row.mode,
        "best": estimate(row.over_seeds(lambda run: run.best)),
        "at_shares": at,
        "minus_reference": estimate(row.minus),
        "result": estimate(row.over_seeds(lambda run: run.result)),
        "runs": [run_json(run) for run in row.runs],
    }


def _aligned(table: Table) -> Iterator[str]:
    """Yield heading and rows, with each column padded to its widest cell."""
    cells = [list(table.columns), *map(list, table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def counts_text(runs: Sequence[RunFigures]) -> str:
    """Return the number of runs by state, and of their trials."""
    states = Counter(run.state for run in runs)
    trials = plural(sum(run.n_trials for run in runs), "trial")
    return f"{plural(len(runs), 'run')} ({', '.join(f'{states[s]} {s}' for s in RunState if states[s])}), {trials}"


def baseline_text(runs: Sequence[RunFigures], metric: Metric, digits: int) -> str:
    """Return the baseline's value, with its spread over the runs if it has one."""
    known = [run.baseline for run in runs if run.baseline is not None]
    if not known:
        return "no baseline has a loss yet"
    n = plural(len(known), "run")
    if len(set(known)) == 1:
        return f"baseline: {metric.name} {metric.display(known[0]):.{digits}f} in each of {n}"
    return f"baseline: {metric.name} {_mean_and_std(MeanEstimate.of(known), metric, digits)} over {n}"


def digits_of(rows: Sequence[ModeFigures]) -> int:
    """Return how many decimals show two digits of the smallest standard deviation; at most 6, as in `agent log`."""
    known = [best.std for row in rows if (best := row.over_seeds(lambda run: run.best)) and best.std]
    return min(6, max(1, 1 - math.floor(math.log10(min(known))))) if known else 4


def _mean_and_std(found: MeanEstimate | None, metric: Metric, digits: int) -> str:
    if found is None:
        return NO_NUMBER
    spread = "" if found.std is None else f" ± {found.std:.{digits}f}"
    return f"{metric.display(found.mean):.{digits}f}{spread}"


def interval_text(found: MeanEstimate | None, metric: Metric, digits: int, sign: str = "") -> str:
    if found is None or found.low is None or found.high is None:
        return NO_NUMBER
    low, high = sorted((metric.display(found.low), metric.display(found.high)))
    return f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def _difference(found: MeanEstimate | None, metric: Metric, digits: int) -> str:
    if found is None:
        return NO_NUMBER
    interval = "" if found.half is None else f" ({interval_text(found, metric, digits, '+')})"
    return f"{metric.display(found.mean):+.{digits}f}{interval}"


def _spent(ledger: Ledger, n_workers: int) -> str:
    spent = spent_time(ledger, n_workers)
    if ledger.usage is None:
        return spent
    calls, n_in, n_out, dollars = _model_calls(ledger)
    return f"{spent}, {plural(int(calls), 'model call')} ({n_in} tokens in, {n_out} out, {dollars} dollars)"


def _model_calls(ledger: Ledger) -> list[str]:
    """Return model calls, prompt tokens, completion tokens and dollars, as text."""
    used = ledger.usage
    if used is None:
        return [NO_NUMBER] * 4
    dollars = "unknown" if used.dollars is None else f"{used.dollars:.2f}"
    return [str(used.calls), str(used.prompt_tokens), str(used.completion_tokens), dollars]
