"""Aligned lines for terminals and pipes: the trials of a run, one trial, the best one."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from agent.budget import Ledger, duration
from agent.metric import Metric
from agent.record import one_line
from agent.repeat import Purpose, Repeat
from agent.trial import Standing, Status, Trial

TITLE_WIDTH = 56
_FAINT, _GREEN, _RED, _YELLOW, _BOLD = "2", "32", "31", "33", "1"
_COLOURS = {Status.OK: "", Status.DUPLICATE: _YELLOW, Status.NO_PROPOSAL: _YELLOW, Status.INVALID_EDIT: _YELLOW}


def paint(text: str, code: str, colour: bool) -> str:
    """Return text in an ANSI style, if colour is wanted."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def header(metric: Metric) -> str:
    """Return the heading of the lines that `trial_line` gives."""
    return (
        f"{'trial':>5}  {'commit':7}  {'status':14} {metric.name[:10]:>10} {'change':>9} "
        f"{'mem GB':>6} {'train s':>7}  {'origin':8}  title"
    )


def trial_line(
    trial: Trial, sha: str | None, incumbent_loss: float | None, metric: Metric, colour: bool, *, is_open: bool = True
) -> str:
    """Return one trial as one line.

    Args:
        sha: hash of its commit, if it has one already.
        incumbent_loss: the loss it was judged against; None for the baseline.
        is_open: whether a process works on the run; a trial in flight was interrupted if not.
    """
    outcome = trial.outcome
    status = outcome.status if outcome else None
    value = change = memory = seconds = ""
    if outcome is not None:
        if outcome.val_loss is not None:
            value = f"{metric.shown(outcome.val_loss):.6f}"
            if incumbent_loss is not None:
                change = f"{metric.shown(outcome.val_loss) - metric.shown(incumbent_loss):+.5f}"
        gigabytes = outcome.peak_vram_gb or outcome.peak_memory_gb
        memory = "" if gigabytes is None else f"{gigabytes:.2f}"
        seconds = f"{outcome.wall_seconds:.1f}" if outcome.wall_seconds else ""
    code = _GREEN if trial.kept else _COLOURS.get(status, _RED) if status else ""
    title = one_line(trial.proposal.title)
    if outcome is not None and outcome.reason:
        title = f"{title}: {one_line(outcome.reason)}" if title else one_line(outcome.reason)
    if trial.proposal.usage is not None and trial.proposal.usage.retries:
        title = f"[{trial.proposal.usage.retries} retries] {title}"
    if outcome is not None and outcome.flags:
        title = f"[{one_line(outcome.flags[0])}] {title}"
    if trial.proposal.copied_from:
        title = f"[copy of {trial.proposal.copied_from}] {title}"
    if len(title) > TITLE_WIDTH:
        title = title[: TITLE_WIDTH - 1] + "…"
    said = verdict(trial) if trial.status is not None or is_open else "interrupted"
    word = paint(f"{said:14}", code, colour)
    told = paint(title, "" if trial.kept else _FAINT, colour)
    return (
        f"{trial.number:>5}  {(sha or '')[:7]:7}  {word} {value:>10} {change:>9} "
        f"{memory:>6} {seconds:>7}  {trial.proposal.origin.value:8}  {told}"
    )


def repeat_line(repeat: Repeat, metric: Metric, colour: bool) -> str:
    """Return a further run of a trial's script as one line below those of `trial_line`."""
    outcome = repeat.outcome
    value = seconds = ""
    word = "running" if outcome is None else outcome.status.value
    if outcome is not None and outcome.val_loss is not None:
        value, word = f"{metric.shown(outcome.val_loss):.6f}", "again"
    if outcome is not None and outcome.wall_seconds:
        seconds = f"{outcome.wall_seconds:.1f}"
    code = ""
    if repeat.verdict is not None:
        word = repeat.verdict.standing.value.replace("_", " ")
        code = {Standing.CONFIRMED: _GREEN, Standing.ROLLED_BACK: _RED}.get(repeat.verdict.standing, "")
    told = paint(purpose(repeat), _FAINT, colour)
    word = paint(f"{word:14}", code, colour)
    return f"{repeat.trial:>5}  {'':7}  {word} {value:>10} {'':>9} {'':>6} {seconds:>7}  {'repeat':8}  {told}"


def purpose(repeat: Repeat) -> str:
    """Return why a trial was run again and, of a confirmation, what it decided."""
    why = {
        Purpose.BASELINE: "to learn the noise",
        Purpose.CHAMPION: "to compare with",
        Purpose.CONFIRM: "to confirm it",
        Purpose.FINAL: "held out, for the result",
    }[repeat.purpose]
    decided = repeat.verdict
    if decided is None:
        return f"seed {repeat.seed}, {why}"
    lead = decided.reason or f"lead {decided.lead:.1f} sigma"
    return f"seed {repeat.seed}, {why}: {lead}"


def verdict(trial: Trial) -> str:
    """Return what became of a trial: where it stands by now, running, or the status of its failure."""
    if trial.status is None:
        return "running"
    if trial.number == 0 and trial.kept:
        return "baseline"
    return trial.standing.value.replace("_", " ") if trial.standing is not None else trial.status.value


def trial_lines(
    trials: Iterable[Trial], hashes: Mapping[int, str], metric: Metric, colour: bool, *, is_open: bool = True
) -> list[str]:
    """Return the heading and one line a trial, each compared with the incumbent of its moment."""
    lines = [paint(header(metric), _BOLD, colour)]
    incumbent: float | None = None
    for trial in trials:
        lines.append(trial_line(trial, hashes.get(trial.number), incumbent, metric, colour, is_open=is_open))
        if trial.kept:
            incumbent = trial.val_loss
    return lines


def summary(trials: Sequence[Trial], incumbent: Trial | None, metric: Metric, sigma: float | None) -> list[str]:
    """Return what a run came to, in a few plain lines. It reports; it never claims more than was measured."""
    if not trials or incumbent is None or incumbent.val_loss is None or trials[0].val_loss is None:
        return ["no trial has a loss yet"]
    ledger = Ledger.of(trials)
    best, first = metric.shown(incumbent.val_loss), metric.shown(trials[0].val_loss)
    lines = []
    if incumbent.number == 0:
        lines.append(f"best: the baseline, {metric.name} {best:.6f}; no trial was lower")
    else:
        gain = abs(incumbent.val_loss - trials[0].val_loss)
        lines.append(
            f"best: trial {incumbent.number}, {metric.name} {best:.6f} "
            f"(baseline {first:.6f}, change {best - first:+.6f}), not confirmed"
        )
        if sigma is not None:
            lines.append(
                f"  the change is {gain / sigma:.1f} times the seed noise known for this task (sigma {sigma:g}); "
                "`agent noise` measures it here"
            )
    if trials[0].outcome and trials[0].outcome.score and trials[0].outcome.score.kind == "printed":
        lines.append(f"  {metric.name} is self-reported: the scripts printed it, and nothing has checked it")
    counts: dict[str, int] = {}
    for trial in trials:
        word = verdict(trial)
        counts[word] = counts.get(word, 0) + 1
    lines.append(f"{len(trials)} trials: " + ", ".join(f"{n} {word}" for word, n in counts.items()))
    used = (
        f"spent: {duration(ledger.train_seconds)} of training as charged, {duration(ledger.wall_seconds)} by the clock"
    )
    if ledger.usage is not None:
        price = "price unknown" if ledger.usage.dollars is None else f"${ledger.usage.dollars:.2f}"
        used += (
            f", {ledger.usage.calls} model calls ({ledger.usage.prompt_tokens} tokens in, "
            f"{ledger.usage.completion_tokens} out, {price})"
        )
        if ledger.usage.retries:
            used += f", {ledger.usage.retries} failures of the endpoint that passed"
    return [*lines, used]


def noise_summary(trials: Sequence[Trial], metric: Metric) -> list[str]:
    """Return mean and standard deviation of the baseline over training seeds, and where to write it down."""
    values = [metric.shown(trial.val_loss) for trial in trials if trial.val_loss is not None]
    if len(values) < 2:
        return ["fewer than two seeds have a loss: nothing can be said about the noise"]
    sigma = stdev(values)
    return [
        f"{metric.name} of the same script over {len(values)} training seeds: mean {mean(values):.6f}, "
        f"standard deviation {sigma:.6f}, range {max(values) - min(values):.6f}",
        f"write it into task.toml:  [noise] sigma = {sigma:.2g}",
        f"single runs of the same script under two seeds differ by more than {2 * 2**0.5 * sigma:.2g} in 1 of 20 cases",
    ]


def trial_json(trial: Trial, sha: str | None, metric: Metric) -> dict[str, Any]:
    """Return one trial as the JSON document that `--json` prints."""
    outcome, proposal = trial.outcome, trial.proposal
    loss = outcome.val_loss if outcome else None
    return {
        "number": trial.number,
        "status": outcome.status.value if outcome else None,
        "kept": trial.kept,
        "val_loss": loss,
        metric.name: None if loss is None else metric.shown(loss),
        "origin": proposal.origin.value,
        "copied_from": proposal.copied_from,
        "title": one_line(proposal.title),
        "reason": one_line(outcome.reason) if outcome else "",
        "params": dict(proposal.params) if proposal.params is not None else None,
        "commit": sha,
        "parent": trial.parent,
        "seed": proposal.train_seed,
        "train_seconds": outcome.train_seconds if outcome else None,
        "wall_seconds": outcome.wall_seconds if outcome else None,
        "total_seconds": outcome.total_seconds if outcome else None,
        "cpu_seconds": outcome.cpu_seconds if outcome else None,
        "peak_memory_gb": outcome.peak_memory_gb if outcome else None,
        "peak_vram_gb": outcome.peak_vram_gb if outcome else None,
        "score": outcome.score.to_json() if outcome and outcome.score else None,
        "self_reported": bool(outcome and outcome.score and outcome.score.kind == "printed"),
        "reported": dict(outcome.reported) if outcome else {},
        "flags": list(outcome.flags) if outcome else [],
        "usage": proposal.to_json().get("usage"),
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
    }
