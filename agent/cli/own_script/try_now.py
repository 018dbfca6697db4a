"""The part of `agent init` that runs the script: opens the machine for it, and reports progress."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.options import host_of, printer, sandbox_settings

if TYPE_CHECKING:
    from agent.analysis.try_script.try_script import TryResult
    from agent.task.init.script_report import InitOptions, ScriptReport
    from agent.task.task import Task

DEFAULT_TRY_BUDGET = "10m"
"""Long enough for some twenty short runs of a script that starts in ten seconds, and no longer than one waits."""


def try_now(
    reading: "ScriptReport",
    compose: "Callable[[ScriptReport], Task]",
    seconds: float,
    settings: tuple[str, tuple[str, ...], str | None],
    choices: "InitOptions",
    *,
    json_: bool,
) -> "TryResult":
    """Run the script of a folder in the sandbox and return what was seen. Ctrl-C ends it; nothing is written then.

    Args:
        reading: of the folder.
        compose: returns the task that init would write for a reading, if the user agrees to it.
        seconds: wall time of all runs together.
        settings: the sandbox, the limits that it need not enforce, and the GPUs.
        choices: of the user.
        json_: whether the output is JSON, so that progress goes to stderr.

    Raises:
        UsageError, MissingRequirementError, SandboxError: as `try_script` and `compose`.
    """
    from agent.analysis.try_script.tries import TryOptions
    from agent.analysis.try_script.try_script import try_script
    from agent.task.init.metric.direction import given_goal

    say = printer(json_=json_)

    checked = sandbox_settings(*settings)
    options = TryOptions(
        host_of(say),
        checked["sandbox"],
        seconds,
        checked["gpus"],
        frozenset(checked["accept_unenforced"]),
        given_goal(choices.goal),
        choices.ask_goal,
    )
    say("\ntrying the script in the sandbox (Ctrl-C stops it and keeps task.toml):")
    try:
        with tempfile.TemporaryDirectory(prefix="autocentaur-try-") as folder:
            return try_script(reading, compose, options, Path(folder), f"{datetime.now(UTC):%Y-%m-%d}")
    except KeyboardInterrupt:
        say("interrupted: task.toml is as it was before the first run")
        raise
