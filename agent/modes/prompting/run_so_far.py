"""The task and the run so far, as values of the prompts for models and agents that edit the script."""

from collections.abc import Callable

from agent.edits.guard import Guard
from agent.modes.prompting.notes_and_messages import notes_and_messages
from agent.modes.prompting.space_text import conditions
from agent.modes.prompting.trial_digest import NOTHING, Briefing, TrialDigest, quoted_log
from agent.modes.proposer import Context
from agent.trials.added_lines import added_lines
from agent.trials.keeping.stretch import Stretch

HISTORY_LINES = (40, 12, 0)  # for kept trials and for others; fewer if the prompt does not fit
LOG_LINES = 12  # of the last trial


def task_rules(briefing: Briefing, guard: Guard) -> dict[str, str]:
    """Return the values of a prompt about the task: goal, scoring, and what an edit may not change."""
    required = ", ".join(guard.required) or "none"
    if "load" in guard.required:
        required += ". What `load` returns for a saved file must be a causal model: the score is computed from it in a "
        required += "fresh process"
    return {
        "goal": briefing.goal,
        "scoring": briefing.scoring,
        "frozen": ", ".join(briefing.frozen) or "none",
        "required": required,
        "limits": briefing.limits,
    }


def run_so_far(
    context: Context, briefing: Briefing, log_of: Callable[[int], str], n_lines: int, *, is_short: bool
) -> dict[str, str]:
    """Return the values of a prompt about the history and state of the run.

    Args:
        log_of: returns the end of a trial's log.
        n_lines: for kept trials, and for others.
        is_short: the longer versions of the prompt do not fit.
    """
    added = added_lines(context.trials, context.baseline_source, context.pending) if n_lines else {}
    digest = TrialDigest(briefing, context.trials, context.pending, added)
    last = digest.last_ran()
    log = log_of(last.number) if last is not None and n_lines else ""
    return {
        "script": briefing.script,
        "source": context.source,
        "incumbent": str(context.incumbent.number),
        "result": f"{briefing.metric} {briefing.format_loss(context.best_loss)}",
        "kept": digest.kept(n_lines),
        "tried": digest.tried(n_lines),
        "refused": digest.refused(n_lines),
        "latest": digest.latest(n_lines),
        "last": "none" if last is None else f"trial {last.number}",
        "log": quoted_log(log, n_lines=LOG_LINES) or NOTHING,
        "conditions": conditions(context.space),
        "people": notes_and_messages(context, is_short=is_short),
        "stretch": _stretch(context.stretch, digest, n_lines),
        "budget_left": context.budget_left,
    }


def another_kind(stretch: Stretch) -> str:
    """Return the sentences that ask for another kind of idea after a long stretch without a gain; empty otherwise."""
    if not stretch.is_long:
        return ""
    return (
        f"No trial has gained more than the noise {stretch.period}: {stretch.n_trials} trials, more than chance "
        "explains at the rate of gains of this run. Propose another kind of idea: change a part of the script that "
        "none of these has changed, or go against what they have in common."
    )


def _stretch(stretch: Stretch, digest: TrialDigest, n_lines: int) -> str:
    """Return the part of a prompt about a long stretch, with an empty line at its end; empty while it is not long."""
    if not (request := another_kind(stretch)):
        return ""
    kinds = "\n".join(digest.kinds_since(stretch.since, n_lines)) or NOTHING
    return f"{request} Tried without a gain:\n\n```text\n{kinds}\n```\n\n"
