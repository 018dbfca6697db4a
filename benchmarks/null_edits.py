"""Does any of 20 edits that change nothing in the bundled script become champion? `python -m benchmarks.null_edits`.

Comments, renamed variables and reordered imports do not change any digit of the loss, and are not kept. Another seed
inside the script gives another draw of the noise, which may be lower. Everything is real: loop, sandbox, training,
audited score. Takes about ten minutes on a quiet core, and resumes after a kill.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from agent.edits.edit import WholeFile
from agent.execution.executor import Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.slots import Slot
from agent.modes.proposer import Context
from agent.report import trial_table
from agent.resources import folder
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder
from agent.store.run_lock import locked
from agent.task.corpus import find_corpus, prepare_corpus
from agent.task.task import Task
from agent.trials.budget import Budget, duration
from agent.trials.history import History
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Origin, Proposal, Trial
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox

SEED = 'int(os.environ["TRAIN_SEED"])'


def comment(source: str, n: int) -> str:
    """Return the script with one more comment."""
    return source.replace("\n\nimport torch", f"\n\n# Note {n}.\nimport torch", 1) + f"\n# Note {n}.\n"


def renamed(source: str, n: int) -> str:
    """Return the script with one variable renamed."""
    name = ("windows", "chance", "n_forwards", "mean_loss")[n % 4]
    return re.sub(rf"\b{name}\b", f"{name}_{n}", source)


def reordered(source: str, n: int) -> str:
    """Return the script with two of its imports exchanged."""
    pairs = [("json", "math"), ("math", "os"), ("os", "resource"), ("resource", "sys")]
    first, second = pairs[n % 4]
    return source.replace(f"import {first}\nimport {second}\n", f"import {second}\nimport {first}\n", 1)


def fixed(source: str, n: int) -> str:
    """Return the script with a fixed seed."""
    return source.replace(SEED, str(n))


def shifted(source: str, n: int) -> str:
    """Return the script with a seed derived from the given one."""
    return source.replace(SEED, f"{SEED} + {1000 + n}")


KINDS: tuple[Callable[[str, int], str], ...] = (comment, renamed, reordered, fixed, shifted)


class NullEdits:
    """Proposes an edit of each kind in turn, always to the baseline's script."""

    def propose(self, context: Context) -> Proposal:
        kind = KINDS[context.number % len(KINDS)]
        edited = kind(context.baseline_source, context.number)
        return Proposal(Origin.ECHO, kind.__name__, WholeFile(edited))


class Lines:
    """An observer that prints the lines of `agent run`."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def proposing(self, number: int) -> None: ...
    def proposed(self, number: int) -> None: ...
    def started(self, trial: Trial, slot: Slot) -> None: ...
    def scoring(self, what: Trial | Repeat) -> None: ...
    def repeating(self, repeat: Repeat, slot: Slot) -> None: ...

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        print(trial_table.trial_line(trial, None, previous, self._metric, False), flush=True)

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        print(trial_table.repeat_line(repeat, self._metric, False), flush=True)

    def waits_for_approval(self, trial: Trial) -> None: ...
    def recorded(self, event: RunEvent) -> None: ...
    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...
    def warned(self, line: str) -> None: ...
    def voided(self, void: VoidedAttempt, trial: int) -> None:
        print(trial_table.void_line(void, trial, self._metric, False), flush=True)

    def lost(self, lost: LostAttempt, trial: int) -> None:
        print(trial_table.lost_line(lost, trial, self._metric, False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "autocentaur", help="prepared data")
    parser.add_argument("--lead", type=float, default=KeepRule.lead, help="sigmas; 0 tests every lucky draw")
    parser.add_argument("--runs", type=Path, default=Path("build/null-edits"), help="folder of the run")
    options = parser.parse_args()
    task = Task.load(folder("train_template"))
    corpus = find_corpus(task, options.cache) or prepare_corpus(task, options.cache)
    runs = RunsFolder(options.runs)
    runs.prepare()
    paths = runs.run(f"null-edits-lead-{options.lead:g}")
    with locked(paths):
        history = read_history(paths.journal) if paths.journal.exists() else History([])
        repo, journal, box = TrialRepo(runs.repo), Journal(paths.journal), BubblewrapSandbox()
        repo.recover(paths.run_id, paths.worktree)
        rule = KeepRule(lead=options.lead, paired=True, sigma=task.noise.sigma)
        run = Run(
            records=Records(paths.run_id, "null", None, task, paths, journal, history, repo),
            executor=Executor(task, corpus, box, AuditedScorer(task, corpus, box), {}, paths.compiled, {}),
            policy=Policy(rule, Budget(trials=options.edits + 1), history.results),
            observer=Lines(task.metric),
            proposer=NullEdits(),
            space=task.space,
        )
        lines = trial_table.trial_lines(history, history.results, repo.tags(paths.run_id), task.metric, False)
        print("\n".join(lines), flush=True)
        run_trials(run)
        journal.close()
        box.close()
    _report(run.history, run.keeper)


def _report(history: History, keeper: KeepPolicy) -> None:
    kept = sum(trial.kept for trial in history.trials) - 1
    spent = duration(sum(result.outcome.total_seconds for result in history.results if result.outcome))
    print(f"\n{len(history.trials) - 1} edits, {kept} kept provisionally, {len(history.repeats)} repeats, {spent}")
    print(f"sigma {keeper.sigma:.4f}; champion: {'the baseline' if keeper.champion == 0 else keeper.champion}")


if __name__ == "__main__":
    main()
