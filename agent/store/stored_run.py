"""A run on disk, opened for reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent.edits.line_diff import diff_of
from agent.errors import RepoError, TaskError, UsageError
from agent.store import run_config
from agent.store.git_repo import TrialRepo
from agent.store.journal import read_history
from agent.store.paths import RunPaths, RunsFolder
from agent.store.run_config import RunConfig, rule_of
from agent.store.trial_name import TrialName, best_of, refuse_minimal
from agent.text import did_you_mean
from agent.trials.added_lines import AddedLines, added_lines, is_written
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.trial import Trial

if TYPE_CHECKING:
    from agent.task.task import Task  # imports numpy and pydantic, which commands that only read avoid


_FEWEST_SEEDS = 3
NOISE_MEASURED = "`agent noise`"
"""The source of a run's sigma if a noise run of the same task has measured it."""


@dataclass(frozen=True)
class StoredRun:
    """Configuration, history and commits of one run. Reading takes no lock: the run may be in progress."""

    runs: RunsFolder
    config: RunConfig
    history: History

    @classmethod
    def find(cls, runs: RunsFolder, name: str | None) -> "StoredRun":
        """Return the run of that name; if None, the one started last. Raises UsageError if there is none."""
        paths = runs.run(run_named(runs, name))
        history = read_history(paths.journal) if paths.journal.exists() else History([])
        return cls(runs, run_config.load(paths.run_json), history)

    def again(self) -> "StoredRun":
        """Return this run, read again from disk."""
        return StoredRun.find(self.runs, self.run_id)

    @property
    def run_id(self) -> str:
        return self.config.run_id

    @property
    def label(self) -> str:
        """The mode, and whether the run started at hints."""
        return f"{self.config.mode}{with_hints(self.config)}"

    @property
    def config_now(self) -> RunConfig:
        """The configuration, with the caps that were raised since the run began."""
        return run_config.with_raised_caps(self.config, self.history.run_events.raises)

    @property
    def heading(self) -> str:
        """The name, with a note if the run used hints: its result does not compare with runs without them."""
        return f"{self.run_id}{with_hints(self.config)}"

    @property
    def paths(self) -> RunPaths:
        return self.runs.run(self.run_id)

    @property
    def metric(self) -> Metric:
        return Metric(name=self.config.metric_name, goal=self.config.metric_goal)

    @cached_property
    def keeper(self) -> KeepPolicy:
        """The keep rule, applied to the run so far."""
        return KeepPolicy(rule_of(self.config), self.history.results)

    @property
    def best(self) -> Trial | None:
        """The result of the run so far, as `best_of` defines it."""
        return best_of(self.history)

    @cached_property
    def repo(self) -> TrialRepo:
        return TrialRepo(self.runs.repo)

    @cached_property
    def hashes(self) -> dict[int, str]:
        """Hashes of the trials' commits, by trial number."""
        return self.repo.tags(self.run_id)

    @cached_property
    def added_lines(self) -> dict[int, AddedLines]:
        """The added lines of each trial whose edit was written as code; empty if the baseline has no commit to read."""
        trials = (*self.history.by_finish, *self.history.in_flight.values())
        if not any(map(is_written, trials)):
            return {}
        try:
            if 0 not in self.hashes:
                return {}
            source = self.script(0)
        except (RepoError, TaskError):  # a repository that was damaged or removed, as `agent log --verify` reports
            return {}
        return added_lines(self.history.by_finish, source, self.history.in_flight.values())

    def task(self, number: int) -> "Task":
        """Return the task with a trial's files as committed, and with the script that ran.

        Raises:
            UsageError: there is no such trial, or it has not finished, so that it has no commit.
        """
        from agent.task.task import Task

        if self.trial(number).outcome is None:
            raise UsageError(
                f"{self.run_id}/{number} has not finished, so it has no commit yet; `agent log {self.run_id}` shows it"
            )
        files = self.repo.read(f"{self.run_id}/{number:04d}")
        return Task(Path(self.config.task_folder), files, self.config.profile, as_is=True)

    def script(self, number: int) -> str:
        """Return a trial's script: as committed or, without a commit, its parent's with its edit applied.

        Raises:
            RepoError: neither it nor one of the trials that it is built on has a commit.
        """
        trial = self.trial(number)
        if trial.parent is None or number in self.hashes:
            return self.task(number).source
        return trial.proposal.edit.apply(self.script(trial.parent))

    def diff(self, number: int, old: tuple["StoredRun", int]) -> str:
        """Return the unified diff from another trial, of this run or another one in the same folder.

        Of a trial in flight, which has no commit, only the script is compared. Raises as `script` does.
        """
        run, before = old
        if before in run.hashes and number in self.hashes:
            return self.repo.diff(f"{run.run_id}/{before:04d}", f"{self.run_id}/{number:04d}")
        return diff_of(self.task(0).script, run.script(before), self.script(number))

    def trial(self, number: int) -> Trial:
        """Return one trial, which may be in flight. Raises UsageError if there is no trial with that number."""
        history = self.history
        if number in history.in_flight:
            return history.in_flight[number]
        if 0 <= number < history.n_started:
            return history.trial(number)
        there = f"it has 0 to {history.n_started - 1}" if history.n_started else "none of its trials has started"
        raise UsageError(f"{self.run_id} has no trial {number}; {there}")

    def lineage(self, number: int) -> list[Trial]:
        """Return the trials from the baseline to `number`, each an edit of the one before it.

        In a run with several workers, these are not the git parents: a trial may edit an older trial than the tip.
        """
        found = [self.trial(number)]
        while (parent := found[-1].parent) is not None:
            found.append(self.trial(parent))
        return found[::-1]


def interrupted(history: History, run: str) -> list[str]:
    """Return sentences about the trials and the repeat in flight of a run that no process works on.

    `run` is what stands behind `agent resume`: the name, and the options that find it.
    """
    waiting = [trial.number for trial in history.in_flight.values() if trial.waits_for_approval]
    others = [number for number in history.in_flight if number not in waiting]
    sentences = []
    if others:
        was, them = ("was", "it") if len(others) == 1 else ("were", "them")
        sentences.append(f"{_trials(others)} {was} interrupted; `agent resume {run}` runs {them} again")
    if history.repeating is not None:
        sentences.append(
            f"a repeat of trial {history.repeating.trial} was interrupted; `agent resume {run}` continues it"
        )
    if waiting:
        waits, them = ("waits", "it") if len(waiting) == 1 else ("wait", "them")
        sentences.append(f"{_trials(waiting)} {waits} for approval; `agent resume {run}` runs {them} once approved")
    return sentences


def _trials(numbers: Sequence[int]) -> str:
    """Return `trial 3`, or `trials 3, 4 and 5`."""
    *first, last = map(str, numbers)
    return f"trials {', '.join(first)} and {last}" if first else f"trial {last}"


def with_hints(config: RunConfig) -> str:
    """Return the suffix for the name of a run that started at the task's hints; empty for other runs."""
    return " with hints" if config.hints else ""


def run_named(runs: RunsFolder, name: str | None) -> str:
    """Return the name of an existing run; if None, of the one started last. Raises UsageError if there is none."""
    refuse_minimal(name)
    known = runs.run_ids()
    if not known:
        raise UsageError(f"there is no run in {runs.root}; start one with `agent run`, or name its folder with --runs")
    if name is not None and name in runs.comparison_ids():
        raise UsageError(
            f"{name} is a comparison: `agent compare {name}` shows it, `agent compare --resume {name}` continues "
            f"it; its runs are called {name}-MODE-sSEED"
        )
    if name is not None and name not in known:
        raise UsageError(
            f"there is no run {name!r} in {runs.root}{did_you_mean(name, known) or f'; the last is {known[-1]}'}"
        )
    return name or known[-1]


def find_trial(runs: RunsFolder, name: str) -> tuple[StoredRun, int]:
    """Return the run and the number of a named trial. Raises UsageError if there is no such run, or nothing is best."""
    named = TrialName.parse(name)
    stored = StoredRun.find(runs, named.run_id)
    return stored, named.number_in(stored.run_id, stored.history)


def best_trial(stored: StoredRun) -> Trial:
    """Return the trial that `agent best` shows. Raises UsageError if there is none with a loss."""
    if stored.best is None:
        raise UsageError(f"{stored.run_id} has no trial with a loss yet; resume it first")
    return stored.best


def ratchet(stored: StoredRun) -> list[Trial]:
    """Return the trials from the baseline to the best one, each an edit of the one before it."""
    return stored.lineage(best_trial(stored).number)


def measured_sigma(runs: RunsFolder, task_digest: str) -> float | None:
    """Return the standard deviation of the task's baseline over training seeds, in metric units.

    It is from the last noise run in `runs` of exactly this task with three or more losses; None if there is none.
    """
    from statistics import stdev  # takes 10 ms, which commands that only read avoid

    for run_id in reversed(runs.run_ids()):
        paths = runs.run(run_id)
        try:
            config = run_config.load(paths.run_json)
        except PermissionError:  # of another user
            continue
        if (
            config.keep != "baseline"
            or config.task_digest != task_digest
            or config.of_trial
            or not paths.journal.exists()
        ):
            continue
        losses = [trial.val_loss for trial in read_history(paths.journal).trials if trial.val_loss is not None]
        if len(losses) >= _FEWEST_SEEDS and stdev(losses) > 0:
            return stdev(losses)
    return None


def noise_options(runs: RunsFolder, task: "Task") -> dict[str, object]:
    """Return the task's noise, if known, and its source, as fields of a new run's RunConfig."""
    measured = measured_sigma(runs, task.digest)
    sigma = measured or task.noise.sigma
    source = NOISE_MEASURED if measured else "[noise] of task.toml"
    return {"noise_sigma": sigma, "noise_source": source if sigma else None}


def load_task(config: RunConfig, runs: RunsFolder) -> "Task":
    """Return the run's task: from its folder as it is now, or from the files of the trial that it started from.

    In the second case, the task's `no_pool` says why the folder's pool cannot be used, if so. Raises TaskError.
    """
    from agent.task.task import Task
    from agent.task.unseen.pool import pool_of_folder

    if config.of_trial is None:
        return Task.load(Path(config.task_folder), config.profile)
    run_id, _, number = config.of_trial.rpartition("/")
    files = TrialRepo(runs.repo).read(f"{run_id}/{int(number):04d}")
    task = Task(Path(config.task_folder), files, config.profile, as_is=True)
    task.no_pool = pool_of_folder(task)
    return task
