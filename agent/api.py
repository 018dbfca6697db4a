"""Runs from Python, in ten names: `load` reads a run, `run` and `resume` make one, and the rest are their types.

Facts are those of `agent log --json`; docs/json-and-python.md has examples. Nothing slow is imported before it is used.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from agent.errors import AgentError, BudgetSpentError, MissingRequirementError, UsageError
from agent.extras import require_extra
from agent.report.documents.trials import PublishedDocument, RepeatDocument, SpentDocument, TrialDocument

if TYPE_CHECKING:
    from pandas import DataFrame

    from agent.store.stored_run import StoredRun

__all__ = [
    "AgentError",
    "LoadedRun",
    "LoadedTrial",
    "PublishedDocument",
    "RepeatDocument",
    "SpentDocument",
    "list_runs",
    "load",
    "resume",
    "run",
]

Print = Callable[[str], None]
"""Prints one line of what a run says."""

_ERRORS = {2: UsageError, 3: BudgetSpentError, 4: MissingRequirementError}
"""The exception for each exit code of the command; AgentError for others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedTrial(TrialDocument):
    """One trial of a run: all fields of `agent log --json`, its script, its log and what it changed."""

    stored: "StoredRun" = field(repr=False)
    """The run that it belongs to."""

    @property
    def source(self) -> str:
        """The script as it ran. Raises AgentError if there is none."""
        return self.stored.script(self.number)

    @property
    def log(self) -> str:
        """The last 20,000 bytes of what it printed; empty if it printed nothing."""
        from agent.text import read_tail

        return read_tail(self.stored.paths.trial(self.number).log)

    def diff(self, old: "LoadedTrial | None" = None) -> str:
        """Return the unified diff from another trial's files, its parent's if none is given, to its own."""
        from agent.server.run_documents import difference

        other = None if old is None else (old.stored, old.number)
        return difference(self.stored, self.number, other, most=None).diff

    def __repr__(self) -> str:
        value = "no value" if self.value is None else f"{self.stored.metric.name} {self.value:.6g}"
        return f"<trial {self.number} of {self.stored.run_id}: {self.standing or self.status or 'running'}, {value}>"


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRun:
    """A run as it was when it was loaded; `load` reads it again."""

    name: str
    path: Path
    mode: str
    metric: str
    goal: str  # minimise or maximise
    trials: tuple[LoadedTrial, ...]  # in the order of their numbers; those in flight have no status
    repeats: tuple[RepeatDocument, ...]
    best: LoadedTrial | None  # the result, as `agent best` shows it; None: no trial has a loss
    published: PublishedDocument | None  # its loss on data that no job saw before
    sigma: float | None  # standard deviation of the loss over training seeds
    spent: SpentDocument
    open_by: int | None  # the process that works on it; None: none does

    def diff(self) -> str:
        """Return the unified diff from the baseline's files to the result's. Raises AgentError without one."""
        if self.best is None:
            raise AgentError(f"{self.name} has no trial with a loss yet")
        return self.best.diff(self.trials[0])

    def to_dataframe(self) -> "DataFrame":
        """Return a table with a row for each trial and a column for each fact and each parameter (`params.NAME`).

        Raises:
            MissingRequirementError: pandas is not installed.
        """
        require_extra("dataframe", "to_dataframe()")
        import pandas

        return pandas.DataFrame([_row(trial) for trial in self.trials]).set_index("number")

    def __repr__(self) -> str:
        n = len(self.trials)
        return f"<run {self.name}: mode {self.mode}, {n} {'trial' if n == 1 else 'trials'}, best {self.best!r}>"


def load(path: str | Path) -> LoadedRun:
    """Return a stored run: `load("runs/night")`.

    Raises:
        AgentError: there is no such run, or it cannot be read.
    """
    from agent.server.run_documents import log_document
    from agent.store.paths import RunsFolder
    from agent.store.stored_run import StoredRun

    place = Path(path)
    stored = StoredRun.find(RunsFolder(place.parent.resolve()), place.name)
    document = log_document(stored, None)
    keys = [each.name for each in fields(TrialDocument)]
    rows = ({key: facts[key] for key in keys} for facts in sorted(document["trials"], key=_number))
    trials = tuple(LoadedTrial(**facts, stored=stored) for facts in rows)
    best, published = stored.best, document["published"]
    return LoadedRun(
        name=stored.run_id,
        path=stored.paths.root,
        mode=document["mode"],
        metric=document["metric"]["name"],
        goal=document["metric"]["goal"],
        trials=trials,
        repeats=tuple(RepeatDocument(**facts) for facts in document["repeats"]),
        best=None if best is None else next(each for each in trials if each.number == best.number),
        published=None if published is None else PublishedDocument(**published),
        sigma=document["sigma"],
        spent=SpentDocument(**document["spent"]),
        open_by=document["open_by"],
    )


def list_runs(folder: str | Path = "runs") -> list[Path]:
    """Return the paths of the runs in a folder, oldest first, for `load`."""
    from agent.store.paths import RunsFolder

    return [Path(folder) / name for name in RunsFolder(Path(folder)).run_ids()]


def run(
    task: str | Path | None = None,
    *,
    mode: str = "centaur",
    trials: int | None = None,
    budget: str | None = None,
    wall: str | None = None,
    profile: str | None = None,
    seed: int = 0,
    model: str | None = None,
    sandbox: str | None = None,
    gpus: str | None = None,
    workers: int | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
    trust: bool = False,
    options: Sequence[str] = (),
    say: Print = print,
) -> LoadedRun:
    """Run a search, as `agent run` does, in a process of its own; return it once it ends.

    Ctrl-C, or a KeyboardInterrupt in a notebook, stops it cleanly; `resume` continues it.

    Args:
        task: folder of the task; None: the bundled one.
        budget: training budget, such as "24h"; `wall`: wall time, such as "8h".
        trust: agree to what the task does outside of the sandbox.
        options: further options of `agent run`, such as ("--no-prune", "--max-cost", "5").
        say: prints each line that the run prints.

    Raises:
        UsageError: an option is wrong, or the task is not trusted.
        BudgetSpentError, MissingRequirementError, AgentError: as the exit codes of `agent run`.
    """
    name = name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{mode.replace(':', '-')}-s{seed}"
    given = {
        "--task": task, "--mode": mode, "--trials": trials, "--budget": budget, "--wall": wall, "--profile": profile,
        "--seed": seed, "--model": model, "--sandbox": sandbox, "--gpus": gpus, "--workers": workers,
        "--name": name, "--runs": runs,
    }  # fmt: skip
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    _command(["run", *words, *(["--trust"] if trust else []), *options], say)
    return load(Path(runs) / name)


def resume(
    path: str | Path | LoadedRun, *, trials: int | None = None, options: Sequence[str] = (), say: Print = print
) -> LoadedRun:
    """Continue a run, as `agent resume` does, and return it once it ends. Raises as `run` does.

    Args:
        trials: raises the total of trials, baseline included.
        options: further options of `agent resume`.
    """
    place = path.path if isinstance(path, LoadedRun) else Path(path)
    raised = [] if trials is None else ["--trials", str(trials)]
    _command(["resume", place.name, "--runs", str(place.parent), *raised, *options], say)
    return load(place)


def _command(words: Sequence[str], say: Print) -> None:
    """Run a command of this program, and print its lines. Raises the exception of its exit code."""
    argv = [sys.executable, "-m", "agent", *words]
    # A session of its own: an interrupt of this process is passed on, once.
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            fault = _printed(process.stdout, say)
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            _printed(process.stdout, say)
            process.wait()
            raise
    if code != 0:
        raise _ERRORS.get(code, AgentError)(fault or f"agent {words[0]} ended with the exit code {code}")


def _printed(lines: IO[str], say: Print) -> str:
    """Print the lines of a command; return the message of its error, empty if there was none."""
    fault = ""
    for line in lines:
        text = line.rstrip("\n")
        if text.startswith("error: "):
            fault = text.removeprefix("error: ")
        else:
            say(text)
    return fault


def _number(facts: dict[str, Any]) -> int:
    return int(facts["number"])


def _row(trial: LoadedTrial) -> dict[str, Any]:
    """Return a trial as a row of a table: its plain facts, and its parameters as `params.NAME`."""
    facts = {name: value for name, value in vars(trial).items() if isinstance(value, str | int | float | None)}
    return facts | {f"params.{name}": value for name, value in (trial.params or {}).items()}
