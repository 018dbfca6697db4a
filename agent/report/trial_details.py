"""One trial in full, for `agent show` and the HTML page: facts, diff and the exchange with the model."""

import json
from collections.abc import Iterator

from agent.edits.assignments import all_constants
from agent.execution.speed.drift import SpeedReference
from agent.llm.recorded_calls import Call, read_calls
from agent.report.slices import published, result_words
from agent.report.steering.messages import steering_facts
from agent.report.trial_table import OVER_BUDGET, paint, purpose, verdict
from agent.store.stored_run import StoredRun
from agent.task.score_kinds import find_score_kind, is_self_reported
from agent.text import inert, local_time, one_line, plural, read_tail
from agent.trials.hybrid.turn_shares import tuned_by
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Status, Trial

_LOG_LINES = 20
_RED, _GREEN, _CYAN, _FAINT, _BOLD = "31", "32", "36", "2", "1"


def describe(stored: StoredRun, trial: Trial, *, colour: bool = False, exchange: bool = False) -> str:
    """Return a trial's outcome, evidence, parameters, diff, exchange with the model and end of its log, as text.

    Args:
        colour: colour the diff as git does.
        exchange: print all prompts and replies, not only their lengths.
    """
    parts = [
        "".join(f"{name + ':':15}{value}\n" for name, value in facts(stored, trial)),
        _listed("evidence of the score", [f"{name}: {value}" for name, value in evidence(trial)]),
        _parameters(stored, trial),
        painted(inert(_difference(stored, trial)), colour),
        _exchange(read_calls(stored.paths.trial(trial.number).llm), exchange, colour),
        _listed("end of the training log", log_lines(stored, trial, _LOG_LINES)),
    ]
    return "\n".join(part for part in parts if part)


def facts(stored: StoredRun, trial: Trial) -> list[tuple[str, str]]:
    """Return the facts of a trial as names and values, one line each."""
    outcome, proposal, metric = trial.outcome, trial.proposal, stored.metric
    rows: list[tuple[str, object]] = [
        ("trial", f"{stored.run_id}/{trial.number}"),
        ("title", one_line(proposal.title)),
        ("verdict", verdict(trial) + (f": {one_line(outcome.reason)}" if outcome and outcome.reason else "")),
        ("origin", proposal.origin.value + (f", copied from {proposal.copied_from}" if proposal.copied_from else "")),
        *((("turn", f"{proposal.turn.kind}: {proposal.turn.why}"),) if proposal.turn is not None else ()),
        ("parent", "none: the baseline" if trial.parent is None else f"trial {trial.parent}"),
        ("commit", stored.hashes.get(trial.number, "not yet")),
        ("training seed", proposal.train_seed),
        ("time", _times(trial)),
    ]
    before = stored.history.incumbent_before(trial.number)
    if before is not None and before.number != trial.parent:
        is_tip = stored.history.commit_parent(trial) == before.number
        words = f"trial {before.number}, then the incumbent{' and the tip of the branch' * is_tip}"
        rows.insert(6 if proposal.turn is not None else 5, ("compared with", words))
    rows += [("model", proposal.offer.in_full)] if proposal.offer is not None else []
    if proposal.note:
        rows.append(("edit", one_line(proposal.note)))
    rows += _added_lines(stored, trial)
    if outcome is not None:
        if outcome.val_loss is not None:
            kind = outcome.score.kind if outcome.score else "unknown"
            known = find_score_kind(kind)
            shown = known.display_name if known is not None else kind
            split = "" if is_self_reported(kind) else ", search loss: on the split that scores every trial"
            rows.append((metric.name, f"{metric.display(outcome.val_loss)!r} ({shown}{split})"))
        rows += _fresh_runs(stored, trial)
        charged = f"{outcome.train_seconds:.1f} s of training budget"
        rows.append(("training", f"{outcome.wall_seconds:.1f} s wall time, {charged}"))
        rows += _worker(outcome)
        if phases := time_by_phase(trial):
            rows.append(("time taken", ", ".join(f"{name} {spent:.1f} s" for name, spent in phases)))
        if proposal.smoke_seconds:
            rows.append(("rehearsal", f"{proposal.smoke_seconds:.1f} s, charged to the training budget"))
        rows += machine_facts(outcome, metric)
        if outcome.cpu_seconds is not None:
            use = outcome.compute.description if outcome.compute is not None else ""
            rows.append(("CPU", f"{outcome.cpu_seconds:.1f} s{f'; {use}' if use else ''}"))
        if outcome.peak_memory_gb is not None:
            rows.append(("memory", f"{outcome.peak_memory_gb:.2f} GiB peak"))
        if outcome.peak_vram_gb is not None:
            rows.append(("GPU memory", f"{outcome.peak_vram_gb:.2f} GiB peak"))
        if outcome.reported:
            numbers = ", ".join(f"{name} {value:g}" for name, value in outcome.reported.items())
            rows.append(("reported", f"{numbers} (by the script: information only)"))
        rows += curve_facts(trial, is_on=stored.config.prune)
        if outcome.sandbox:
            rows.append(("sandbox", outcome.sandbox))
        rows += [("not enforced", line) for line in outcome.unenforced]
        rows += [("flag", one_line(line)) for line in outcome.flags]
    rows += [("void", f"{one_line(void.reason)} ({void.seconds:.1f} s, {void.at})") for void in trial.voids]
    rows += [("lost", f"{one_line(lost.reason)} ({lost.seconds:.1f} s, {lost.at})") for lost in trial.lost]
    rows += steering_facts(stored.history, trial, stored.run_id)
    if (used := proposal.usage) is not None:
        tokens = f"{used.prompt_tokens} + {plural(used.completion_tokens, 'token')}"
        rows.append(("model", f"{used.model}, {plural(used.calls, 'call')}, {tokens}"))
        rows.append(("exchange", stored.paths.trial(trial.number).llm))
    return [(one_line(name), one_line(inert(str(value)))) for name, value in rows]


def _added_lines(stored: StoredRun, trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield how many lines an edit adds that a rejected trial had before; nothing if it adds none."""
    added = stored.added_lines.get(trial.number)
    if added is not None and added.again:
        word = "trials" if len(added.had_by) > 1 else "trial"
        lines = f"{len(added.again)} of {plural(added.n_lines, 'added line')}"
        yield "re-introduced", f"{lines} had been in rejected {word} {', '.join(map(str, added.had_by))}"


def _times(trial: Trial) -> str:
    """Return when a trial began and ended, in the zone of this machine: `2026-11-21 22:00:05 to 22:10:05 UTC`."""
    began, ended = local_time(trial.started_at), local_time(trial.finished_at or "")
    if began is None:
        return "unknown"
    if ended is None:
        return f"since {began:%Y-%m-%d %H:%M:%S %Z}"
    last = f"{ended:%H:%M:%S}" if ended.date() == began.date() else f"{ended:%Y-%m-%d %H:%M:%S}"
    return f"{began:%Y-%m-%d %H:%M:%S} to {last} {ended:%Z}"


def time_by_phase(trial: Trial) -> list[tuple[str, float]]:
    """Return the phases of a finished trial that took time, each with its wall time in seconds."""
    outcome, proposal = trial.outcome, trial.proposal
    if outcome is None:
        return []
    phases = [
        ("model", proposal.usage.seconds if proposal.usage is not None else 0.0),
        ("rehearsal", proposal.smoke_seconds),
        ("waiting for a worker", outcome.place.queued_seconds if outcome.place is not None else 0.0),
        ("training", outcome.wall_seconds),
        ("scoring", outcome.score.seconds if outcome.score is not None else 0.0),
        ("void attempts", sum(void.seconds for void in trial.voids)),
    ]
    rest = outcome.total_seconds - sum(seconds for _, seconds in phases)
    return [(name, seconds) for name, seconds in [*phases, ("rest", rest)] if seconds >= 0.05]


def _worker(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield the worker that ran a trial, in a run that may have several trials in flight."""
    place = outcome.place
    if place is not None and place.elapsed_seconds is not None and outcome.status.ran:
        device = f" ({place.device})" if place.device else ""
        yield "worker", f"{place.slot}{device} for {place.seconds:.1f} s, after {place.queued_seconds:.1f} s of waiting"


def _fresh_runs(stored: StoredRun, trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield the repeats of a trial under other seeds, and its published result."""
    metric = stored.metric
    for repeat in stored.history.repeats:
        if repeat.trial == trial.number and repeat.outcome is not None:
            loss = repeat.val_loss
            value = repeat.outcome.status.value if loss is None else repr(metric.display(loss))
            value = OVER_BUDGET if repeat.outcome.is_over_budget else value
            word = f"{repeat.verdict.standing.value.replace('_', ' ')}; " if repeat.verdict else ""
            yield "again", f"{value} ({word}{purpose(repeat, metric)})"
    found = published(stored.history, stored.keeper)
    if found is not None and found.trial == trial.number:
        yield "result", result_words(found, metric)


def machine_facts(outcome: Outcome, metric: Metric) -> list[tuple[str, object]]:
    """Return the machine's speed around a trial, its GPU limits and, in old runs, the correction of the loss."""
    machine = outcome.machine
    if machine is None:
        return []
    rows: list[tuple[str, object]] = []
    speeds = ", ".join(f"{speed:.5g}" for speed in machine.speeds)
    if machine.ratio is not None:
        rows.append(("machine", f"{machine.ratio:.2%} of the baseline's speed (canaries {speeds})"))
    elif machine.speeds:
        reference = SpeedReference.of(machine)
        rows.append(("machine", f"the reference: canary {reference.speed:.5g} ± {reference.noise:.1%} ({speeds})"))
    if machine.raw_loss is not None and outcome.val_loss is not None:
        change = metric.display(outcome.val_loss) - metric.display(machine.raw_loss)
        rows.append(("as scored", f"{metric.display(machine.raw_loss)!r}, corrected by {change:+.6f} for the speed"))
    held = [f"{reason.replace('_', ' ')} {share:.0%} of the time" for reason, share in machine.gpu.items()]
    if held or machine.sm_mhz is not None:
        clock = [f"{machine.sm_mhz} MHz"] if machine.sm_mhz is not None else []
        rows.append(("GPU", ", ".join([*clock, *held])))
    return rows


def curve_facts(trial: Trial, *, is_on: bool) -> list[tuple[str, str]]:
    """Return the facts of a trial's learning curve, as names and values.

    `is_on`: whether the run stops trials early; if so, a baseline without a curve is reported, since it prevents that.
    """
    outcome = trial.outcome
    if outcome is None:
        return []
    rows = []
    curve = outcome.curve
    if curve is not None:
        at = [("at half", curve.half), ("at the end", curve.end)]
        levels = "".join(f", {value:.4g} {where}" for where, value in at if value is not None)
        rows.append(("curve", f"{curve.start:.4g} at the start{levels} (by the script: information only)"))
    if is_on and trial.number == 0 and (curve is None or curve.half is None or curve.end is None):
        none = "no line of its log matches the pattern of [curve]"
        what = none if curve is None else "its curve has no points just before half of the budget, or before the end"
        rows.append(("early stopping", f"{what}: no trial is pruned"))
    if outcome.condemned is not None:
        ran_on = "" if outcome.status is Status.PRUNED else "; it ran on as a control, to measure wrong kills"
        gap = f"gap {outcome.condemned.gap:.4g} to the champion's curve at half of the budget"
        rows.append(("behind", f"{gap}, limit {outcome.condemned.limit:.4g}{ran_on}"))
    if outcome.stopped_at is not None:
        rows.append(("stopped", f"at {outcome.stopped_at:.0%} of its budget, by its own report"))
    return rows


def evidence(trial: Trial) -> list[tuple[str, str]]:
    """Return the evidence of a trial's score, as names and values; empty if it has no score."""
    score = trial.outcome.score if trial.outcome else None
    if score is None:
        return []
    known = find_score_kind(score.kind)
    rows = [("kind", known.display_name if known is not None else one_line(score.kind))]
    if score.reason:
        rows.append(("objection", one_line(score.reason)))
    rows += [(one_line(name.replace("_", " ")), one_line(_value(value))) for name, value in score.evidence.items()]
    return [*rows, ("scoring took", f"{score.seconds:.1f} s")]


def changed(stored: StoredRun, trial: Trial) -> list[tuple[str, str, str]]:
    """Return the parameters that differ from the parent's: name, the parent's value, the trial's.

    Of a trial that tunes a script, these are all constants of both scripts, not only the names of the task's space.
    """
    if trial.parent is None:
        return []
    before, after = stored.trial(trial.parent).proposal.params or {}, trial.proposal.params or {}
    if tuned_by(trial) is not None and trial.parent in stored.hashes:
        before, after = (all_constants(stored.script(n), any_case=True) for n in (trial.parent, trial.number))
        after = {name: value for name, value in after.items() if name in before}
    return [
        (one_line(name), one_line(str(before.get(name))), one_line(str(value)))
        for name, value in after.items()
        if before.get(name) != value
    ]


def log_lines(stored: StoredRun, trial: Trial, n_lines: int) -> list[str]:
    """Return the last lines of a trial's training log; empty if it has none."""
    return inert(read_tail(stored.paths.trial(trial.number).log)).splitlines()[-n_lines:]


def painted(patch: str, colour: bool) -> str:
    """Return a unified diff in git's colours; unchanged without `colour`."""
    if not colour:
        return patch
    return "".join(paint(line, _style(line), colour) + "\n" for line in patch.splitlines())


def _style(line: str) -> str:
    if line.startswith(("diff ", "index ", "--- ", "+++ ")):
        return _BOLD
    return {"+": _GREEN, "-": _RED, "@": _CYAN}.get(line[:1], "")


def _parameters(stored: StoredRun, trial: Trial) -> str:
    if trial.parent is None or not (trial.proposal.params or tuned_by(trial) is not None):
        return ""
    rows = [f"{name} {before} → {after}" for name, before, after in changed(stored, trial)]
    return _listed("changed parameters", rows or ["none"])


def _difference(stored: StoredRun, trial: Trial) -> str:
    if trial.parent not in stored.hashes or (trial.outcome is not None and trial.number not in stored.hashes):
        return ""
    return stored.diff(trial.number, (stored, trial.parent))


def _exchange(calls: list[Call], in_full: bool, colour: bool) -> str:
    if not calls:
        return ""
    lines = [] if in_full else ["exchange with the model (--exchange prints all of it):"]
    for number, call in enumerate(calls, start=1):
        lines += _exchange_lines(number, call, colour) if in_full else [f"  {call.describe(number)}"]
    return "\n".join(lines) + "\n"


def _exchange_lines(number: int, call: Call, colour: bool) -> Iterator[str]:
    """Yield every message of a call, and the reply."""
    for role, content in call.messages:
        yield paint(f"----- {role} -----", _FAINT, colour)
        yield inert(content)
    yield paint(f"----- {call.describe(number)} -----", _BOLD, colour)
    yield inert(call.reply)


def _listed(heading: str, lines: list[str]) -> str:
    return "".join([f"{heading}:\n", *(f"  {line}\n" for line in lines)]) if lines else ""


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)
