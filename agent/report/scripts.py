"""The scripts of a run, made again from the journal: quicker than asking git once a trial."""

from collections.abc import Iterator
from difflib import unified_diff

from agent.report.stored_run import StoredRun
from agent.trial import Trial


def differences(stored: StoredRun, baseline: str) -> Iterator[tuple[Trial, str]]:
    """Yield each finished trial with the unified diff of its script against its parent's; empty for the baseline."""
    sources = {0: baseline}
    for trial in stored.history.trials:
        if trial.parent is None:
            yield trial, ""
            continue
        before = sources[trial.parent]
        after = trial.proposal.edit.apply(before)
        if trial.kept:
            sources[trial.number] = after
        names = f"trial {trial.parent}", f"trial {trial.number}"
        lines = unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
        yield trial, "\n".join(lines)
