"""One trial in full, for `agent show`."""

from agent.judge import read_tail
from agent.record import one_line
from agent.report.stored_run import StoredRun
from agent.report.text import verdict
from agent.trial import Trial

_LOG_LINES = 20


def describe(stored: StoredRun, trial: Trial) -> str:
    """Return outcome, parameters, difference and end of the log of one trial, as plain text."""
    parts = [_facts(stored, trial), _parameters(stored, trial), _difference(stored, trial), _log(stored, trial)]
    return "\n".join(part for part in parts if part)


def _facts(stored: StoredRun, trial: Trial) -> str:
    outcome, proposal, metric = trial.outcome, trial.proposal, stored.metric
    rows: list[tuple[str, object]] = [
        ("trial", f"{stored.run_id}/{trial.number}"),
        ("title", one_line(proposal.title)),
        ("verdict", verdict(trial) + (f": {one_line(outcome.reason)}" if outcome and outcome.reason else "")),
        ("origin", proposal.origin.value + (f", copied from {proposal.copied_from}" if proposal.copied_from else "")),
        ("parent", "none: the baseline" if trial.parent is None else f"trial {trial.parent}"),
        ("commit", stored.hashes.get(trial.number, "not yet")),
        ("training seed", proposal.train_seed),
    ]
    if proposal.note:
        rows.append(("edit", one_line(proposal.note)))
    if outcome is not None:
        if outcome.val_loss is not None:
            kind = outcome.score.kind if outcome.score else "unknown"
            shown = "self-reported" if kind == "printed" else kind
            rows.append((metric.name, f"{metric.shown(outcome.val_loss)!r} ({shown})"))
        rows.append(("training", f"{outcome.wall_seconds:.1f} s by the clock, {outcome.train_seconds:.1f} s charged"))
        if proposal.smoke_seconds:
            rows.append(("rehearsal", f"{proposal.smoke_seconds:.1f} s, charged too"))
        if outcome.cpu_seconds is not None:
            rows.append(("CPU", f"{outcome.cpu_seconds:.1f} s"))
        if outcome.peak_memory_gb is not None:
            rows.append(("memory", f"{outcome.peak_memory_gb:.2f} GiB at most"))
        if outcome.peak_vram_gb is not None:
            rows.append(("GPU memory", f"{outcome.peak_vram_gb:.2f} GiB at most"))
        if outcome.reported:
            said = ", ".join(f"{name} {value:g}" for name, value in outcome.reported.items())
            rows.append(("reported", f"{said} (by the script: information only)"))
        if outcome.sandbox:
            rows.append(("sandbox", outcome.sandbox))
        rows += [("not enforced", line) for line in outcome.unenforced]
        rows += [("flag", one_line(line)) for line in outcome.flags]
    if proposal.usage is not None:
        used = proposal.usage
        rows.append(
            ("model", f"{used.model}, {used.calls} calls, {used.prompt_tokens} + {used.completion_tokens} tokens")
        )
        rows.append(("exchange", stored.paths.trial(trial.number).llm))
    return "".join(f"{name + ':':15}{value}\n" for name, value in rows)


def _parameters(stored: StoredRun, trial: Trial) -> str:
    if trial.parent is None or not trial.proposal.params:
        return ""
    before = stored.trial(trial.parent).proposal.params or {}
    changed = [
        f"  {name} {before.get(name)} → {value}\n"
        for name, value in trial.proposal.params.items()
        if before.get(name) != value
    ]
    return "changed parameters:\n" + ("".join(changed) or "  none\n")


def _difference(stored: StoredRun, trial: Trial) -> str:
    if trial.parent is None or trial.number not in stored.hashes:
        return ""
    return stored.repo.diff(f"{stored.run_id}/{trial.parent:04d}", f"{stored.run_id}/{trial.number:04d}")


def _log(stored: StoredRun, trial: Trial) -> str:
    lines = read_tail(stored.paths.trial(trial.number).log).splitlines()[-_LOG_LINES:]
    return "\n".join(["end of the training log:", *(f"  {line}" for line in lines)]) if lines else ""
