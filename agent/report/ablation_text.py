"""The result of an attribution as text, as a JSON document and as a table for the page."""

from dataclasses import asdict
from typing import Any

from agent.analysis.ablation_chain import ChangeFinding, ChangeVerdict
from agent.analysis.ablation_elimination import CLEAR, Attribution
from agent.analysis.ablation_log import Attributed
from agent.edits.line_diff import n_changed_lines
from agent.report.json_documents import turns_of
from agent.report.run_summary import hidden
from agent.report.table import Table
from agent.text import plural
from agent.trials.budget import duration
from agent.trials.history import History
from agent.trials.keeping.noise import Noise
from agent.trials.metric import Metric

SEARCH_LOSS = "losses are search losses, on the split that scores every trial; no slice confirms these effects"


def table(found: Attribution, metric: Metric) -> Table:
    """Return one row per change, in the order in which the changes were made."""
    columns = ("change", "trials", "lines", "when kept", "without it", "verdict", "what")
    return Table(columns, [_row(finding, found.noise, metric) for finding in found.findings])


def lines(attributed: Attributed, run_id: str, metric: Metric) -> list[str]:
    """Return an attribution as lines of text: table, remarks, conclusion, cost."""
    found, readings, shown = attributed.found, attributed.readings, table(attributed.found, metric)
    widths = [max(len(row[i]) for row in (shown.columns, *shown.rows)) for i in range(len(shown.columns))]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown.rows)
    heading = "  ".join(name.ljust(width) for name, width in zip(shown.columns, widths, strict=True))
    which = plural(len(found.findings), "change")
    return [
        f"run {run_id}: {which} between the baseline and trial {found.chain.result}, each removed in turn",
        heading.rstrip(),
        *(row.rstrip() for row in rows),
        "",
        *remarks(found),
        *conclusion(attributed, run_id, metric),
        f"spent: {plural(len(readings.ran), 'run')}, {duration(readings.train_seconds)} of training budget",
    ]


def remarks(found: Attribution) -> list[str]:
    """Return remarks on the numbers of the table: the split, shared gains, the noise."""
    notes = [SEARCH_LOSS] if found.chain.on_slices else []
    if any(step.values is not None and len(step.values) > 1 for step in found.chain.steps):
        notes.append("when kept: where a trial set several names, each gets an equal share of the trial's gain")
    sigma = f"sigma {found.noise.sigma:.2g}"
    if found.noise.is_unobservable:
        notes.append(f"no ±, and verdicts use a guess at the noise of one run, {sigma}: {hidden()}")
    elif found.noise.n_learned:
        notes.append(f"{sigma} is the noise of one run")
    else:
        notes.append(f"{sigma} is the search's estimate of the noise of one run: no repeat here has measured it")
    return notes


def conclusion(attributed: Attributed, run_id: str, metric: Metric) -> list[str]:
    """Return the minimal script's size and loss; every claim rests on runs under held-out seeds."""
    found = attributed.found
    whole = f"trial {found.chain.result}"
    if found.stopped:
        more = (
            f"not finished: {found.stopped}; continue with `agent attribute {run_id}` and a higher --budget or --trials"
        )
        return [more] if found.difference is None else [more, _compared(found, metric), *_offer(attributed, run_id)]
    kept = [finding.change.key for finding in found.findings if finding.verdict is ChangeVerdict.NOT_TESTED]
    if not found.minimal.without:
        if kept:
            return [f"no change was removed; not tested, since the rest would break a constraint: {', '.join(kept)}"]
        return [f"every change carries part of the gain: the diff of {whole} is already minimal"]
    if found.n_lines == 0:
        return [
            "no change carries more than the noise, so only the baseline is left; more --seeds detect smaller effects"
        ]
    if not found.as_good:
        return [
            _compared(found, metric),
            "small losses have added up, so no smaller script is offered; more --seeds detect each of them",
        ]
    return [_compared(found, metric), *_offer(attributed, run_id)]


def to_json(attributed: Attributed, run_id: str, history: History) -> dict[str, Any]:
    """Return the JSON document that `--json` prints; losses are minimised, and effects are differences of losses.

    `history` is that of the run.
    """
    found = attributed.found
    readings = {"whole": found.whole_reading, "minimal": found.minimal_reading}
    return {
        "run": run_id,
        "trial": found.chain.result,
        "seeds": attributed.readings.seeds,
        "changes": [_finding_json(finding, found.noise) for finding in found.findings],
        "without": [finding.change.key for finding in found.findings if finding.change.key in found.minimal.without],
        "changed_lines": {"whole": n_changed_lines(found.chain.baseline, found.chain.source), "minimal": found.n_lines},
        "held_out": {
            name: None if reading is None else {"mean": reading.mean, "error": reading.error, "runs": reading.n_runs}
            for name, reading in readings.items()
        },
        "difference": found.difference,
        "difference_error": None if found.noise.is_unobservable else found.error,
        "minimal": None if attributed.minimal is None else str(attributed.minimal),
        "patch": None if attributed.minimal is None else str(attributed.minimal.with_suffix(".patch")),
        "stopped": found.stopped,
        "runs": len(attributed.readings.ran),
        "train_seconds": attributed.readings.train_seconds,
        "sigma": found.noise.sigma,
        "repeats_tell_noise": not found.noise.is_unobservable,
        "turns": [asdict(share) for share in turns_of(history)],
    }


def _row(finding: ChangeFinding, noise: Noise, metric: Metric) -> list[str]:
    change = finding.change
    effect = ""
    if finding.effect is not None and finding.error is not None:
        exact = finding.verdict is ChangeVerdict.NULL
        effect = (
            "0, to all digits" if exact else f"{metric.display(finding.effect):+.5f}{_plus_minus(finding.error, noise)}"
        )
    verdict = finding.verdict + (f" (with {', '.join(finding.along)})" if finding.along else "")
    return [
        change.key,
        ", ".join(map(str, change.trials)),
        str(change.n_lines),
        f"{metric.display(-change.recorded_gain):+.5f}",
        effect,
        verdict,
        change.title + (f": {finding.reason}" if finding.reason else ""),
    ]


def _compared(found: Attribution, metric: Metric) -> str:
    """Return a sentence that compares both scripts under the same held-out seeds."""
    whole, minimal, difference, error = found.whole_reading, found.minimal_reading, found.difference, found.error
    assert whole is not None
    assert minimal is not None
    assert difference is not None
    assert error is not None
    n_left = len(found.chain.changes) - len(found.minimal.without)
    own, others = (_plus_minus(reading.error, found.noise) for reading in (minimal, whole))
    worse, better = difference > CLEAR * error, difference < -CLEAR * error
    word = "worse" if worse else "better" if better else "no difference found"
    return (
        f"minimal: {n_left} of {plural(len(found.chain.changes), 'change')}, {found.n_lines} of "
        f"{plural(n_changed_lines(found.chain.baseline, found.chain.source), 'changed line')}; {metric.name} "
        f"{metric.display(minimal.mean):.6f}{own}, trial {found.chain.result} "
        f"{metric.display(whole.mean):.6f}{others} ({plural(whole.n_runs, 'held-out seed')}): "
        f"{metric.display(difference):+.6f}{_plus_minus(error, found.noise)}, {word}"
    )


def _plus_minus(error: float | None, noise: Noise) -> str:
    """Return a standard error as ` ± 0.0056`; empty if repeats cannot measure the noise."""
    return "" if error is None or noise.is_unobservable else f" ± {error:.2g}"


def _offer(attributed: Attributed, run_id: str) -> list[str]:
    """Return the command that commits the minimal script; empty if none is offered."""
    if not attributed.found.offered:
        return []
    return [f"to commit it to your own repository: agent export {run_id} --minimal --to REPO --branch NAME"]


def _finding_json(finding: ChangeFinding, noise: Noise) -> dict[str, Any]:
    change = finding.change
    return {
        "change": change.key,
        "trials": list(change.trials),
        "title": change.title,
        "changed_lines": change.n_lines,
        "recorded_gain": change.recorded_gain,
        "verdict": finding.verdict.value,
        "effect": finding.effect,
        "error": None if noise.is_unobservable else finding.error,
        "seeds": list(finding.seeds),
        "along": list(finding.along),
        "reason": finding.reason,
    }
