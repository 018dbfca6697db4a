"""Aligned lines for terminals and pipes: the trials of a run, one trial, the best one."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent.budget import Ledger, duration
from agent.counted import counted
from agent.history import History, stands
from agent.keeper import Keeper, Reading
from agent.machine import Void
from agent.metric import Metric
from agent.record import one_line
from agent.repeat import Purpose, Repeat
from agent.report.early import stopped_early
from agent.report.noise import sigma_line
from agent.trial import Standing, Status, Trial

TITLE_WIDTH = 56
VALUE_WIDTH, MAX_VALUE_WIDTH = 10, 24  # of the column of values, which is as wide as the metric's name within these
_FAINT, _GREEN, _RED, _YELLOW, _BOLD = "2", "32", "31", "33", "1"
_COLOURS = {Status.OK: "", Status.DUPLICATE: _YELLOW, Status.NO_PROPOSAL: _YELLOW, Status.INVALID_EDIT: _YELLOW}


def paint(text: str, code: str, colour: bool) -> str:
    """Return text in an ANSI style, if colour is wanted."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def value_width(metric: Metric) -> int:
    """Return how many characters the column of values has."""
    return min(max(len(metric.name), VALUE_WIDTH), MAX_VALUE_WIDTH)


def spared(metric: Metric) -> tuple[tuple[int, int], ...]:
    """Return which columns of the lines below, from and to, a narrow terminal has no room for."""
    memory = 42 + value_width(metric)
    return (7, 16), (memory, memory + 16)


def header(metric: Metric) -> str:
    """Return the heading of the lines that `trial_line` gives."""
    width = value_width(metric)
    return (
        f"{'trial':>5}  {'commit':7}  {'status':14} {metric.name[:width]:>{width}} {'change':>9} "
        f"{'mem GB':>6} {'train s':>7}  {'origin':8}  title"
    )


def trial_line(
    trial: Trial, sha: str | None, before: Trial | None, metric: Metric, colour: bool, *, is_open: bool = True
) -> str:
    """Return one trial as one line.

    Args:
        sha: hash of its commit, if it has one already.
        before: the incumbent that it was judged against; None for the baseline.
        is_open: whether a process works on the run; a trial in flight was interrupted if not.
    """
    outcome = trial.outcome
    status = outcome.status if outcome else None
    value = memory = seconds = ""
    if outcome is not None:
        if outcome.val_loss is not None:
            value = f"{metric.shown(outcome.val_loss):.6f}"
        gigabytes = outcome.peak_vram_gb or outcome.peak_memory_gb
        memory = "" if gigabytes is None else f"{gigabytes:.2f}"
        seconds = f"{outcome.wall_seconds:.1f}" if outcome.wall_seconds else ""
    difference = change(trial, before, metric)
    changed = "" if difference is None else f"{difference:+.5f}"
    code = _GREEN if stands(trial) else _COLOURS.get(status, _RED) if status else ""
    title = one_line(trial.proposal.title)
    if outcome is not None and outcome.reason:
        title = f"{title}: {one_line(outcome.reason)}" if title else one_line(outcome.reason)
    if trial.proposal.usage is not None and trial.proposal.usage.retries:
        title = f"[{counted(trial.proposal.usage.retries, 'retry', 'retries')}] {title}"
    if outcome is not None and outcome.flags:
        title = f"[{one_line(outcome.flags[0])}] {title}"
    if mark := machine_mark(trial):
        title = f"[{mark}] {title}"
    if trial.proposal.copied_from:
        title = f"[copy of {trial.proposal.copied_from}] {title}"
    if len(title) > TITLE_WIDTH:
        title = title[: TITLE_WIDTH - 1] + "…"
    said = verdict(trial) if trial.status is not None or is_open else "interrupted"
    word = paint(f"{said:14}", code, colour)
    told = paint(title, "" if trial.kept else _FAINT, colour)
    return (
        f"{trial.number:>5}  {(sha or '')[:7]:7}  {word} {value:>{value_width(metric)}} {changed:>9} "
        f"{memory:>6} {seconds:>7}  {trial.proposal.origin:8}  {told}"
    )


def change(trial: Trial, before: Trial | None, metric: Metric) -> float | None:
    """Return how the metric changed from the incumbent `before` to a trial; None where one of them has no loss."""
    if before is None or before.val_loss is None or trial.val_loss is None:
        return None
    return metric.shown(trial.val_loss) - metric.shown(before.val_loss)


def repeat_line(repeat: Repeat, metric: Metric, colour: bool, *, is_open: bool = True) -> str:
    """Return a further run of a trial's script as one line below those of `trial_line`."""
    outcome = repeat.outcome
    value = seconds = ""
    word = ("running" if is_open else "interrupted") if outcome is None else outcome.status.value
    if outcome is not None and outcome.val_loss is not None:
        value, word = f"{metric.shown(outcome.val_loss):.6f}", "again"
    if outcome is not None and outcome.wall_seconds:
        seconds = f"{outcome.wall_seconds:.1f}"
    code = ""
    if repeat.verdict is not None:
        word = repeat.verdict.standing.value.replace("_", " ")
        code = {Standing.CONFIRMED: _GREEN, Standing.ROLLED_BACK: _RED}.get(repeat.verdict.standing, "")
    mark = f"[{machine_mark(repeat)}] " if machine_mark(repeat) else ""
    told = paint(mark + purpose(repeat), _FAINT, colour)
    word = paint(f"{word:14}", code, colour)
    value = f"{value:>{value_width(metric)}}"
    return f"{repeat.trial:>5}  {'':7}  {word} {value} {'':>9} {'':>6} {seconds:>7}  {'repeat':8}  {told}"


def void_line(void: Void, trial: int, metric: Metric, colour: bool) -> str:
    """Return an attempt that does not count as one line below those of `trial_line`."""
    word = paint(f"{'void':14}", _YELLOW, colour)
    told = paint(f"{one_line(void.reason)}: {'queued again' if void.trained else 'waiting'}", _FAINT, colour)
    blank = " " * value_width(metric)
    return f"{trial:>5}  {'':7}  {word} {blank} {'':>9} {'':>6} {void.seconds:>7.1f}  {'machine':8}  {told}"


def machine_mark(trial: Trial | Repeat) -> str:
    """Return in a word what the machine did to a trial's loss: `-1.2 % speed: corrected`; empty if nothing."""
    machine = trial.outcome.machine if trial.outcome else None
    n_void = sum(void.trained for void in trial.voids)
    marks = [f"{n_void} void"] if n_void else []
    if machine is not None and machine.raw_loss is not None and machine.ratio is not None:
        marks.append(f"speed {machine.ratio - 1:+.1%}: corrected")
    return ", ".join(marks)


def purpose(repeat: Repeat) -> str:
    """Return why a trial was run again and, of a confirmation, what it decided."""
    why = {
        Purpose.BASELINE: "to learn the noise",
        Purpose.CHAMPION: "to compare with",
        Purpose.CONFIRM: "to confirm it",
        Purpose.FINAL: "held out, for the result",
        Purpose.SLOPE: "80% of the budget, to learn what speed is worth",
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
    standing = trial.standing
    return standing.replace("_", " ") if standing is not None else trial.status.value


def trial_lines(
    history: History,
    results: Iterable[Trial | Repeat],
    hashes: Mapping[int, str],
    metric: Metric,
    colour: bool,
    *,
    is_open: bool = True,
) -> list[str]:
    """Return the heading and one line for each of some trials and repeats of a history."""
    lines = [paint(header(metric), _BOLD, colour)]
    for result in results:
        if isinstance(result, Repeat):
            lines.append(repeat_line(result, metric, colour, is_open=is_open))
            continue
        before = history.incumbent_before(result.number)
        lines.append(trial_line(result, hashes.get(result.number), before, metric, colour, is_open=is_open))
    return lines


def summary(history: History, metric: Metric, keeper: Keeper) -> list[str]:
    """Return what a run came to, in a few plain lines. It reports; it never claims more than was measured."""
    trials = history.trials
    if not trials or history.incumbent is None or trials[0].val_loss is None:
        return ["no trial has a loss yet"]
    lines = headline(history, metric, keeper)
    if trials[0].outcome and trials[0].outcome.score and trials[0].outcome.score.kind == "printed":
        lines.append(f"  {metric.name} is self-reported: the scripts printed it, and nothing has checked it")
    counts: dict[str, int] = {}
    for trial in trials:
        word = verdict(trial)
        counts[word] = counts.get(word, 0) + 1
    ran = f"{counted(len(trials), 'trial')}: " + ", ".join(f"{n} {word}" for word, n in counts.items())
    if history.repeats:
        ran += f"; {counted(len(history.repeats), 'repeat')}"
    return [*lines, ran, *machine_lines(history), *stopped_early(trials), _spent(Ledger.of(history.results))]


def machine_lines(history: History) -> list[str]:
    """Return what the machine did to a run, as one line; none where its speed was not measured."""
    machine = history.trials[0].outcome.machine if history.trials and history.trials[0].outcome else None
    if machine is None or not machine.speeds:
        return []
    from agent.steadiness import Reference

    reference = Reference.of(machine)
    voids = [void for result in history.timeline for void in result.voids]
    trained = [void.seconds for void in voids if void.trained]
    attempts = counted(len(trained), "attempt")
    said = f"machine: canary ± {reference.noise:.1%}, {attempts} void ({duration(sum(trained))})"
    waits = f", {counted(len(voids) - len(trained), 'wait')} for it" if len(voids) > len(trained) else ""
    return [f"{said}{waits}"]


def headline(history: History, metric: Metric, keeper: Keeper) -> list[str]:
    """Return the result of a run: what is confirmed, then what is not. Only a confirmed chain is called improved."""
    incumbent, champion = history.incumbent, history.champion
    assert incumbent is not None
    assert champion is not None
    baseline = keeper.reading(0)
    first = f"baseline {_published(baseline, metric)}"
    lines = []
    if champion.number != 0:
        reading = keeper.reading(champion.number)
        gain = abs(baseline.mean - reading.mean)
        lines.append(
            f"confirmed: trial {champion.number}, {metric.name} {_published(reading, metric)}; "
            f"improved by {gain:.6f} on the {first}"
        )
    elif incumbent.number == 0:
        lines.append(f"best: the {first}; no trial was {'lower' if metric.goal == 'minimise' else 'higher'}")
    elif keeper.rule.kind == "two-tier":
        lines.append(f"no gain is confirmed; {first}")
    if incumbent.number != champion.number:
        assert incumbent.val_loss is not None
        fresh = keeper.reading(incumbent.number)
        more = "" if fresh.selected else f"; {_published(fresh, metric)}"
        value, lead = metric.shown(incumbent.val_loss), _lead(incumbent.number, champion.number, metric, keeper)
        lines.append(
            f"provisional: trial {incumbent.number}, {metric.name} {value:.6f} in the run that it was kept for{more}; "
            f"{lead}, not confirmed"
        )
    lines.append(f"  {sigma_line(keeper)}")
    return lines


def _lead(trial: int, champion: int, metric: Metric, keeper: Keeper) -> str:
    """Return what a trial's lead over the champion is, and which of their runs it is taken from."""
    theirs, own = keeper.compared(trial)
    name = "the baseline" if champion == 0 else f"trial {champion}"
    if keeper.rule.paired:
        runs = f"to {name} under the same {'seed' if len(own) == 1 else 'seeds'}"
    else:
        runs = f"to {name} over {counted(len(theirs), 'run')}"
    here = "" if len(own) == 1 else f"the mean of its {len(own)} runs is {metric.shown(sum(own) / len(own)):.6f}, "
    lead, sigmas = keeper.lead(trial), keeper.lead(trial) / keeper.sigma
    return f"{here}{metric.shown(-lead):+.6f} {runs}, {metric.shown(sum(theirs) / len(theirs)):.6f}: {sigmas:.1f} sigma"


def _published(reading: Reading, metric: Metric) -> str:
    """Return a reading as `2.0512 ± 0.0054 (3 fresh runs)`."""
    runs = counted(reading.n_runs, "fresh run") if not reading.selected else "1 run"
    error = "" if reading.error is None else f" ± {reading.error:.2g}"
    return f"{metric.shown(reading.mean):.6f}{error} ({runs})"


def _spent(ledger: Ledger) -> str:
    used = (
        f"spent: {duration(ledger.train_seconds)} of training as charged, {duration(ledger.wall_seconds)} by the clock"
    )
    if ledger.usage is not None:
        price = "price unknown" if ledger.usage.dollars is None else f"${ledger.usage.dollars:.2f}"
        used += (
            f", {counted(ledger.usage.calls, 'model call')} ({counted(ledger.usage.prompt_tokens, 'token')} in, "
            f"{ledger.usage.completion_tokens} out, {price})"
        )
        if ledger.usage.retries:
            used += f", {counted(ledger.usage.retries, 'failure', 'failures')} of the endpoint that passed"
    return used


def result_json(history: History, keeper: Keeper) -> dict[str, Any]:
    """Return what a run came to as the JSON document that `--json` prints; losses are minimised."""
    if history.champion is None or history.incumbent is None:
        return {"champion": None, "incumbent": None}
    reading = keeper.reading(history.champion.number)
    return {
        "champion": history.champion.number,
        "incumbent": history.incumbent.number,
        "champion_loss": reading.mean,
        "champion_error": reading.error,
        "champion_runs": reading.n_runs,
        "sigma": keeper.sigma,
    }


def repeat_json(repeat: Repeat, metric: Metric) -> dict[str, Any]:
    """Return a repeat as the JSON document that `--json` prints."""
    loss = repeat.val_loss
    return {
        "trial": repeat.trial,
        "seed": repeat.seed,
        "purpose": repeat.purpose.value,
        "status": repeat.outcome.status.value if repeat.outcome else None,
        "val_loss": loss,
        metric.name: None if loss is None else metric.shown(loss),
        "verdict": repeat.verdict.to_json() if repeat.verdict else None,
        "machine": repeat.outcome.machine.to_json() if repeat.outcome and repeat.outcome.machine else None,
        "voids": [void.to_json() for void in repeat.voids],
        "started_at": repeat.started_at,
        "finished_at": repeat.finished_at,
    }


def trial_json(trial: Trial, sha: str | None, metric: Metric) -> dict[str, Any]:
    """Return one trial as the JSON document that `--json` prints."""
    outcome, proposal = trial.outcome, trial.proposal
    loss = outcome.val_loss if outcome else None
    return {
        "number": trial.number,
        "status": outcome.status.value if outcome else None,
        "kept": trial.kept,
        "standing": trial.standing.value if trial.standing is not None else None,
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
        "stopped_at": outcome.stopped_at if outcome else None,
        "condemned": outcome.condemned.to_json() if outcome and outcome.condemned else None,
        "curve": outcome.curve.to_json() if outcome and outcome.curve else None,
        "machine": outcome.machine.to_json() if outcome and outcome.machine else None,
        "voids": [void.to_json() for void in trial.voids],
        "usage": proposal.to_json().get("usage"),
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
    }
