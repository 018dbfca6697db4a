"""Fixtures shared by all tests: a tiny task, its data prepared once, and runs opened by hand."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from agent.execution.executor import Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Scorer
from agent.execution.slices.source import SliceSource
from agent.execution.slots import Slot
from agent.execution.speed.cpu_meter import CpuMeter
from agent.execution.speed.probe import SpeedProbe
from agent.modes.proposer import Proposer
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder
from agent.task.corpus import Corpus, prepare_corpus
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Trial
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Sandbox
from tests import commands
from tests.kill_anywhere.killed_runs import Zygote
from tests.kill_anywhere.several_workers import sleeping_task

TASKS = Path(__file__).parent / "tasks"

# Started in the background of a script, Python inherits SIGINT as ignored, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup: outlive a terminal, but let no child inherit that
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)

# An example may take as long as it takes: how busy the machine is says nothing about the program.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# No test may read the developer's own settings, or reach a model by accident.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
    os.environ.pop(name, None)
os.environ["AUTOCENTAUR_TRUST"] = "1"  # the tasks of the tests are our own


LONGEST = (
    "test_sandbox.py", "test_packaging.py", "test_kill_anywhere.py", "test_commands.py", "test_cli.py",
    "test_as_ordinary_user.py", "test_confirmations.py", "test_parallel.py", "test_trust.py", "test_kill_on_slices.py",
    "test_held_out.py", "test_divided_runs.py", "test_kill_compare.py", "test_replay.py", "test_comparison.py",
    "test_kill_parallel.py", "test_full_disk.py", "test_after_the_run.py", "test_verified_slice.py",
    "test_common_slice.py", "test_old_runs.py", "test_readers_agree.py", "test_attacks.py", "test_score.py",
    "test_loop.py", "test_ablation.py", "test_sandboxes.py", "test_consistency.py", "test_layers.py",
    "test_mcp_server.py", "test_kills_of_clients.py", "test_steer.py", "test_client_with_a_shell.py",
    "test_bad_agents.py", "test_kill_agents.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: at the end all processes but one would wait for it."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Zygote:
    """A process that has imported all of `agent`, and forks real ones in a tenth of a second."""
    return commands.warm().within(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="session")
def sleeping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task whose jobs sleep for a moment, so that several are in flight."""
    return sleeping_task(tmp_path_factory.mktemp("sleeping"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for prepared data, kept for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def bigram() -> Task:
    """The task in tests/tasks/bigram_plain: trains in a twentieth of a second."""
    return Task.load(TASKS / "bigram_plain")


@pytest.fixture(scope="session")
def corpus(bigram: Task, cache: Path) -> Corpus:
    return prepare_corpus(bigram, cache)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    box = BubblewrapSandbox()
    yield box
    box.close()


class SilentObserver:
    """Records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.warnings: list[str] = []

    def proposing(self, number: int) -> None:
        self.calls.append(("proposing", number))

    def proposed(self, number: int) -> None:
        self.calls.append(("proposed", number))

    def waits_for_approval(self, trial: Trial) -> None:
        self.calls.append(("waits", trial.number))

    def started(self, trial: Trial, slot: Slot) -> None:
        self.calls.append(("started", trial.number))

    def scoring(self, what: Trial | Repeat) -> None:
        if isinstance(what, Trial):
            self.calls.append(("scoring", what.number))

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        self.calls.append(("finished", trial.number))

    def repeating(self, repeat: Repeat, slot: Slot) -> None:
        self.calls.append(("repeating", repeat.trial))

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        self.calls.append(("repeated", repeat.trial))

    def lost(self, lost: LostAttempt, trial: int) -> None:
        self.calls.append(("lost", trial))

    def recorded(self, event: RunEvent) -> None:
        self.calls.append(("recorded", event.number))

    def warned(self, line: str) -> None:
        self.warnings.append(line)

    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...
    def voided(self, void: VoidedAttempt, trial: int) -> None:
        self.calls.append(("voided", trial))


OpenRunWith = Callable[..., Run]


@pytest.fixture
def open_run(tmp_path: Path, bigram: Task, corpus: Corpus, sandbox: Sandbox) -> Iterator[OpenRunWith]:
    """Return a function that opens run `r` in a fresh folder, or again if it is there."""
    stack = ExitStack()

    def opened(
        proposer: Proposer,
        trials: int = 3,
        task: Task = bigram,
        box: Sandbox = sandbox,
        *,
        corpus: Corpus | None = corpus,
        scorer: Scorer | None = None,
        probe: SpeedProbe | None = None,
        slices: SliceSource | None = None,
        cpu_meter: CpuMeter | None = None,
        rule: KeepRule = KeepRule("any"),  # noqa: B008 (frozen)
        rounded: bool = False,
        final_runs: int = 0,
        **more: Any,
    ) -> Run:
        runs = RunsFolder(tmp_path / "runs")
        runs.prepare()
        paths = runs.run("r")
        paths.root.mkdir(exist_ok=True)
        journal = Journal(paths.journal)
        stack.callback(journal.close)
        if scorer is None:
            assert corpus is not None
            scorer = AuditedScorer(task, corpus, box)
        history = read_history(paths.journal)
        return Run(
            records=Records("r", "test", None, task, paths, journal, history, TrialRepo(runs.repo)),
            executor=Executor(task, corpus, box, scorer, {}, paths.compiled, {}, probe, slices, cpu_meter),
            policy=Policy(rule, Budget(trials=trials), history.results, rounded=rounded, final_runs=final_runs),
            observer=SilentObserver(),
            proposer=proposer,
            space=task.space,
            **more,
        )

    with stack:
        yield opened


@pytest.fixture
def alarm() -> Iterator[None]:
    """Let a test fail that keeps its processor busy for 20 seconds: not one that others keep waiting."""

    def ring(*_: object) -> None:
        pytest.fail("busy for 20 seconds of the processor")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, 20)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)
