"""`agent attribute`: removes the kept changes from a run's result one by one, and writes the script that remains."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.analysis.ablation_chain import ChangeChain, ChangeFinding
from agent.analysis.ablation_elimination import Attribution, BudgetExhaustedError, Elimination
from agent.analysis.ablation_log import (
    AblationRecords,
    AblationStarted,
    Attributed,
    ScriptAttemptVoided,
    ScriptFinished,
    hash_of,
    keeper_under,
)
from agent.errors import BudgetSpentError
from agent.execution.executor import Attempt, Executor, Unseen
from agent.execution.host import Clock, Host, utc_now
from agent.execution.speed.guard import with_speed_check
from agent.run.resume import open_executor
from agent.store.atomic_file import write_durably
from agent.store.git.objects import Commit
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal
from agent.store.paths import AttributionPaths
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.text import Say, plural
from agent.trials.budget import duration
from agent.trials.machine_speed import VoidedAttempt


@dataclass(frozen=True)
class AblationOptions:
    """The options of an ablation."""

    seeds: int  # training seeds per comparison
    runs: int | None  # limit on runs of scripts, earlier calls included; None: no limit
    train_seconds: float | None  # limit on the training budget, earlier calls included; None: no limit
    accept_changed: tuple[str, ...] = ()  # conditions that may differ from the run's own
    task_folder: Path | None = None  # where the task is now, if it was moved


def attribute(
    stored: StoredRun,
    options: AblationOptions,
    host: Host,
    decided: Callable[[ChangeFinding], None] = lambda _finding: None,
) -> Attributed:
    """Return which changes carry the gain of a run's result; scripts that earlier calls have run are not run again.

    Args:
        decided: called with the finding about each change.

    Raises:
        UsageError: the run has no gain to attribute, another process has it open, or it cannot continue here.
        BudgetSpentError: the budget left nothing to run.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    with locked(stored.paths):
        stored = stored.again()
        chain = ChangeChain.of(stored)
        unseen = Unseen.NOTHING if stored.config.pool is None else Unseen.DIVISION
        accepted, folder = options.accept_changed, options.task_folder
        with open_executor(stored, host, unseen, accept_changed=accepted, task_folder=folder) as executor:
            for line in executor.task.retired:
                host.say(line)
            paths = stored.paths.attribution(chain.result)
            path = paths.readings
            path.parent.mkdir(parents=True, exist_ok=True)
            journal = Journal(path, resume_command="agent attribute")
            try:
                known = AblationRecords.read(path)
                if known.seeds != options.seeds:
                    journal.append(AblationStarted(options.seeds, utc_now()))
                runner = _Runner(stored, chain.result, options, host.say, executor, journal, dict(known.ran))
                keeper = keeper_under(stored, executor.conditions)
                found = Elimination(chain, keeper, runner, options.seeds, decided).result()
            finally:
                journal.close()
        if runner.refused and not runner.n_ran:
            known_so_far = f"; `agent report {stored.run_id}` shows the findings so far" if runner.ran else ""
            raise BudgetSpentError(f"{found.stopped}; raise --trials or --budget{known_so_far}")
        return Attributed(found, runner.readings, _write(stored, found, paths))


@dataclass
class _Runner:
    """Runs scripts for an ablation within its budget, or returns the loss of an earlier run."""

    stored: StoredRun
    number: int  # of the trial whose changes are removed
    options: AblationOptions
    say: Say
    executor: Executor
    journal: Journal
    ran: dict[tuple[str, int], ScriptFinished]  # by script and seed
    n_ran: int = 0  # runs by this process
    refused: bool = False  # whether a run was refused because the budget was spent
    clock: Clock = field(default_factory=Clock)

    @property
    def readings(self) -> AblationRecords:
        """All runs under the present conditions."""
        return AblationRecords(self.options.seeds, self.ran).under(self.executor.conditions)

    def __call__(self, source: str, seed: int, *, about: str, reserved: int) -> float | None:
        key = (hash_of(source), seed)
        known = self.readings.ran.get(key)
        if known is None:
            self._refuse_beyond(reserved)
            known = self.ran[key] = self._run(source, *key, about)
        return known.outcome.val_loss

    def _refuse_beyond(self, reserved: int) -> None:
        """Raise BudgetExhaustedError unless the budget allows another run besides `reserved` last runs."""
        first, runs, seconds = self.stored.trial(0).outcome, self.options.runs, self.options.train_seconds
        assert first is not None
        spent = AblationRecords(None, self.ran).train_seconds + reserved * first.train_seconds
        if runs is not None and len(self.ran) + reserved >= runs:
            budget = f"budget of {plural(runs, 'run')}"
        elif seconds is not None and spent >= seconds:
            budget = f"training budget of {duration(seconds)}"
        else:
            return
        self.refused = True
        kept_back = f", except for {plural(reserved, 'run')} reserved for the last comparison" if reserved else ""
        raise BudgetExhaustedError(f"the {budget} is spent{kept_back}")

    def _run(self, source: str, script: str, seed: int, about: str) -> ScriptFinished:
        """Execute a script like the repeat of a champion, and log its outcome."""
        began = self.clock.monotonic()
        paths = self.stored.paths.attribution(self.number).run(script, seed)
        self.say(f"{about}, training seed {seed}")
        attempt = Attempt(
            source=source,
            paths=paths,
            label=f"{self.stored.run_id}/{self.number:04d}/{script}/seed-{seed}",
            number=self.number,
            train_seed=seed,
            baseline=self.stored.trial(0).outcome,
            to_beat=math.inf,  # each of these runs may decide something, so each gets the full audit
        )

        def record_void(void: VoidedAttempt) -> None:
            self.journal.append(ScriptAttemptVoided(script, seed, void))
            self.say(f"this attempt does not count: {void.reason}")

        outcome = with_speed_check(self.executor, attempt, record_void, self.clock)
        paths.artifact.unlink(missing_ok=True)
        outcome = replace(outcome, total_seconds=round(self.clock.monotonic() - began, 3))
        line = ScriptFinished(script, seed, outcome, self.clock.now())
        self.journal.append(line)
        self.n_ran += 1
        return line


def _write(stored: StoredRun, found: Attribution, paths: AttributionPaths) -> Path | None:
    """Write the minimal script and its patch if it is smaller and as good; otherwise remove those of earlier calls."""
    if not found.offered:
        paths.minimal.unlink(missing_ok=True)
        paths.patch.unlink(missing_ok=True)
        return None
    script = stored.task(0).script
    write_durably(paths.patch, _patch(script, found.chain.baseline, found.minimal.source))
    write_durably(paths.minimal, found.minimal.source)
    return paths.minimal


def _patch(script: str, before: str, after: str) -> str:
    """Return git's patch from `before` to `after`, for `git apply` in the folder of the baseline's script."""
    with tempfile.TemporaryDirectory(prefix="patch-") as scratch:
        repo, at = TrialRepo(Path(scratch) / "scripts.git"), utc_now()
        old = repo.record("r", 0, Commit({script: before.encode()}, "before", None, at), advance=True)
        new = repo.record("r", 1, Commit({script: after.encode()}, "after", old, at), advance=True)
        return repo.diff(old, new)
