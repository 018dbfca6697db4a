"""`agent` commands as users call them: real processes, but forked from one that has imported everything once.

To start Python anew and import what a command needs takes a second of the processor, a fork a twentieth of that. Where
the start itself is what a test is about, it starts a process of its own.
"""

import atexit
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

from tests.kill_anywhere.killed_runs import Zygote, zygote


@cache
def warm() -> Zygote:
    """Return the warm process of this process, started now if it is not there."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="warm-"))
    return stack.enter_context(zygote(Path(folder)))


def agent(*argv: str, cwd: Path, env: Mapping[str, str]) -> CompletedProcess[str]:
    """Run `agent ARGV` in `cwd` with this environment, where tasks are trusted; return what `subprocess.run` would."""
    own = {} if "HOME" in env else {"XDG_CONFIG_HOME": str(warm().folder / "config")}  # never the developer's
    return warm().completed(argv, cwd, {**own, "AUTOCENTAUR_TRUST": "1", **env})
