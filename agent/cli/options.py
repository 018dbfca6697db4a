"""Options, arguments and lookups that the commands share. Like every file of cli/, it may read the environment."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from agent.cli.search_options.panels import OUTPUT, SANDBOX, TASK, one_of, option
from agent.errors import UsageError
from agent.execution.sandboxes import SANDBOXES, sandbox_named
from agent.report.trackers.kinds import TRACKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.execution.host import Host
    from agent.store.paths import RunsFolder
    from agent.store.stored_run import StoredRun
    from agent.task.task import Task
    from agent.text import Say


Runs = Annotated[Path, option(OUTPUT, "Folder of all runs.", "--runs", metavar="DIR")]
Json = Annotated[bool, option(OUTPUT, "Print one JSON document instead.", "--json")]
TrialArgument = Annotated[
    str, typer.Argument(metavar="TRIAL", help="RUN/7, RUN/best or RUN/champion; without RUN, of the last run.")
]
RunName = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Name of a run; the last one if not given.")]
TaskFolder = Annotated[
    Path | None, option(TASK, "Folder of the task; the bundled task if not given.", "--task", metavar="DIR")
]
Profile = Annotated[
    str | None, option(TASK, "Profile of the task; the task's default if not given.", "--profile", metavar="P")
]
NAMES_OF_TRACKERS, NAMES_OF_SANDBOXES = one_of(TRACKERS), one_of(SANDBOXES)
SandboxKind = Annotated[
    str,
    option(
        SANDBOX,
        f"Where scripts run: {NAMES_OF_SANDBOXES}.",
        "--sandbox",
        metavar="KIND",
        autocompletion=lambda: list(SANDBOXES),
    ),
]
Weaker = Annotated[
    list[str],
    option(SANDBOX, "Run although this machine cannot enforce a limit.", "--accept-unenforced", metavar="LIMIT"),
]
Workers = Annotated[
    int | None,
    option(SANDBOX, "Trials at the same time; if not given, one per GPU of --gpus, or one.", "--workers", metavar="W"),
]
Queue = Annotated[
    int | None,
    option(
        SANDBOX,
        "Proposals that may wait for a worker; if not given, 1 where a model proposes for several workers, else 0.",
        "--queue",
        metavar="N",
    ),
]
Gpus = Annotated[str | None, option(SANDBOX, "GPUs for jobs, one per job; none if not given.", "--gpus", metavar="0,1")]
Force = Annotated[bool, option(OUTPUT, "Replace files that this command did not write.", "--force")]
DEFAULT_RUNS = Path("runs")


def task_folder(task: Path | None) -> Path:
    from agent.resources import folder

    return (task or folder("train_template")).resolve()


def load_task(folder: Path, profile: str | None) -> "Task":
    from agent.task.task import Task

    return Task.load(folder, profile)


def runs_folder(root: Path) -> "RunsFolder":
    from agent.store.paths import RunsFolder

    return RunsFolder(root.resolve())


def where(runs: "RunsFolder") -> str:
    """Return the option that a command needs to find these runs."""
    return "" if runs.root == DEFAULT_RUNS.resolve() else f" --runs {runs.root}"


def stored_run(runs: Path, name: str | None) -> "StoredRun":
    from agent.store.stored_run import StoredRun

    return StoredRun.find(runs_folder(runs), name)


def runs_of(runs: Path, name: str) -> list[str]:
    """Return the runs that a name means: the run of that name, or those runs of a comparison that have started."""
    folder = runs_folder(runs)
    if name not in folder.comparison_ids():
        return [name]
    from agent.analysis.comparison import load

    known = folder.run_ids()
    return [each for names in load(folder, name).run_ids().values() for each in names if each in known]


def stored_trial(runs: Path, name: str) -> "tuple[StoredRun, int]":
    from agent.store.stored_run import find_trial

    return find_trial(runs_folder(runs), name)


def run_and_trial(runs: Path, name: str | None) -> "tuple[StoredRun, int | None]":
    """Return the run of that name and None or, if it is the name of a trial, its run and its number."""
    from agent.store.trial_name import is_trial_name

    if name is None or name in runs_folder(runs).run_ids() or not is_trial_name(name):
        return stored_run(runs, name), None
    stored, number = stored_trial(runs, name)
    return stored, stored.trial(number).number


def full_name(runs: Path, trial: str | None) -> str | None:
    """Return the full name RUN/7 of a trial, which the user may shorten to 7; None if `trial` is None."""
    if trial is None:
        return None
    stored, number = stored_trial(runs, trial)
    return f"{stored.run_id}/{stored.trial(number).number}"


def start_of(
    task: Path | None, profile: str | None, runs: Path, trial: str | None, *, option: str
) -> "tuple[Path, Task]":
    """Return the task's folder and the task that a run starts with; with `trial`, that trial's script is its baseline.

    Args:
        option: the option that gave `trial`, for messages.

    Raises:
        TaskError: the task does not exist or is invalid.
        UsageError: `task` or `profile` is given together with `trial`, or the trial has not finished.
    """
    if trial is None:
        return task_folder(task), load_task(task_folder(task), profile)
    if task is not None or profile is not None:
        given = "--task" if task is not None else "--profile"
        raise UsageError(f"{option} {trial} brings the task and profile of its run; leave out {given}")
    stored, number = stored_trial(runs, trial)
    if stored.trial(number).outcome is None:
        raise UsageError(f"{stored.run_id}/{number} has not finished; `agent log {stored.run_id}` lists the trials")
    return Path(stored.config.task_folder), stored.task(number)


def given(ctx: typer.Context) -> dict[str, Any]:
    """Return the options given on the command line, without those that the environment or a default sets."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    written = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return {name: ctx.params[name] for name in written}


def cache_folder() -> Path:
    """Return the folder of prepared data."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("AUTOCENTAUR_CACHE")
    return Path(chosen).absolute() if chosen else user_cache_path("autocentaur")


def host_of(say: "Say", count_tokens: "Callable[[int], None]" = lambda _count: None) -> "Host":
    """Return the command's host: its environment variables, the folder of prepared data, and where it prints.

    Args:
        count_tokens: called with the number of tokens received so far, while a model replies.
    """
    from agent.execution.host import Host

    return Host(dict(os.environ), cache_folder(), say, model_key(), count_tokens)


def model_key() -> str | None:
    """Return the key of the model endpoint without blanks and line ends around it; None if none is set."""
    return os.environ.get("OPENAI_API_KEY", "").strip() or None


def stored_address(base_url: str | None) -> str | None:
    """Return the address of the model endpoint as run.json holds it; None if none is given.

    The whole address, which may contain a password, goes into the environment of this process, from where the run and
    a resume take it.

    Raises:
        MissingRequirementError: it is not an address.
    """
    from agent.llm.endpoint.address import checked_address, public_address

    if base_url is None or not base_url.strip():
        return None
    os.environ["OPENAI_BASE_URL"] = checked_address(base_url)
    return public_address(os.environ["OPENAI_BASE_URL"])


def config_folder() -> Path:
    """Return the folder of this user's own settings."""
    from platformdirs import user_config_path

    return user_config_path("autocentaur")


def whole_name(model: str | None) -> str | None:
    """Return the name of a model; a recording gets an absolute path, so that a resume from another folder finds it."""
    from agent.modes.model_choice import RECORDING

    if model is None or not model.startswith(RECORDING):
        return model
    return f"{RECORDING}{Path(model.removeprefix(RECORDING)).resolve()}"


def price_of(
    option: str | None, model: str | None, base_url: str | None
) -> tuple[tuple[float, float] | None, str | None]:
    """Return the price of a model, dollars per million tokens of prompts and of replies, and the source of the price.

    Raises:
        UsageError: --price or the user's own price table cannot be read.
    """
    from agent.llm.prices import OWN_NAME, known_price, spoken_price

    if option is not None:
        return spoken_price(option), "--price or the settings"
    if model is None:
        return None, None
    known = known_price(model, base_url, config_folder() / OWN_NAME)
    return (known.dollars, known.source) if known else (None, None)


def can_redraw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can draw lines again, which a dumb one cannot."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def shows_colour(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours that NO_COLOR does not switch off (no-color.org)."""
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def printer(*, json_: bool) -> "Say":
    """Return a function that prints one line for the user, wrapped on a terminal; beside JSON, to standard error."""
    from agent.report.terminal import columns_of, sentences

    def say(line: str) -> None:
        stream = sys.stderr if json_ else sys.stdout
        print("\n".join(sentences(line.split("\n"), columns_of(stream))), file=stream, flush=True)

    return say


def print_json(document: Mapping[str, Any]) -> None:
    """Print a JSON document with its version; characters that steer a terminal or hide text are escaped."""
    from agent.report.documents.trials import VERSION
    from agent.text import as_json

    assert "version" not in document, "the version is that of all documents"
    print(as_json({"version": VERSION, **document}))


def settings_of(folder: Path, task: "Task") -> dict[str, Any]:
    """Return the fields of RunConfig that describe the task."""
    return {
        "task_folder": str(folder),
        "task_name": task.name,
        "task_digest": task.digest,
        "profile": task.profile,
        "metric_name": task.metric.name,
        "metric_goal": task.metric.goal,
    }


def sandbox_settings(kind: str, accept_unenforced: Sequence[str], gpus: str | None) -> dict[str, Any]:
    """Return the fields of RunConfig that describe the sandbox. Raises UsageError if there is no such sandbox."""
    sandbox_named(kind)
    named = tuple(gpus.split(",")) if gpus else ()
    return {"sandbox": kind, "accept_unenforced": tuple(accept_unenforced), "gpus": named}


def fail(message: str, code: int) -> NoReturn:
    """Print one line and exit."""
    from agent.text import inert

    print(f"error: {inert(message)}", file=sys.stderr)
    sys.exit(code)
