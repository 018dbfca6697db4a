"""A process that has imported the program once and forks a child for each command: a real process, without the seconds
that the imports take. It reads one JSON object a line and answers each with one.

A child can be told where to die. Every place where the program touches the disk or starts a process is seen by an audit
hook, or by `os.fsync`, and has a name; the child kills itself with SIGKILL when it comes to that place.
"""

import atexit
import contextlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CHANGES = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.link", "os.symlink"),
    "shutil.rmtree",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def named(path: object) -> str:
    """Return a path without what differs between two runs: where it is, numbers, random names."""
    text = os.path.relpath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else "?"
    text = re.sub(r"^(\.\./)+", "/", text)
    text = re.sub(r"^/sys/fs/cgroup/.*/", "cgroup/", text)
    text = re.sub(r"\btmp\w{8}\b", "TMP", text)
    text = re.sub(r"\bautocentaur-agent-[^/]+", "SOCKETS", text)
    return re.sub(r"\d+", "N", text)


def boundary(event: str, args: tuple[Any, ...]) -> str | None:
    """Return the name of the place that an audit event stands for; None if nothing is changed there."""
    if event == "open":
        path, _, flags = args
        if isinstance(path, int) or not isinstance(flags, int) or not flags & _WRITES:
            return None
        return None if str(path).startswith("/dev/") else f"open {named(path)}"
    if event in _CHANGES:
        return f"{event} {named(args[0])}"
    if event == "subprocess.Popen":
        words = [os.fsdecode(word) for word in args[1]]
        program = "git" if Path(words[0]).name == "git" else "sandbox" if words[0].startswith("sandbox ") else words[0]
        acts = ("update-index", "write-tree", "commit-tree", "hash-object", "update-ref", "worktree", "reset", "clean")
        act = next((word for word in words if word in (*acts, "init", "pack-refs", "rev-parse")), "")
        if program == "git" and act in ("", "rev-parse"):
            return None
        return named(f"start {Path(program).name} {act}".strip())
    return None


class Watch:
    """Counts the places that a process comes to, and ends the process at one of them."""

    def __init__(self, die_at: str | None, nth: int, whole_group: bool) -> None:
        self.seen: Counter[str] = Counter()
        self._die_at = die_at
        self._nth = nth
        self._whole_group = whole_group

    def come_to(self, place: str) -> None:
        self.seen[place] += 1
        if place == self._die_at and self.seen[place] == self._nth:
            (os.killpg if self._whole_group else os.kill)(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        place = boundary(event, args)
        if place is not None:
            self.come_to(place)

    def fsync(self, inner: Callable[[int], None]) -> Callable[[int], None]:
        """Return `os.fsync` with a place before it and one behind."""

        def watched(fd: int) -> None:
            name = named(os.readlink(f"/proc/self/fd/{fd}"))
            self.come_to(f"before fsync {name}")
            inner(fd)
            self.come_to(f"after fsync {name}")

        return watched


def child(order: Mapping[str, Any]) -> None:
    """Become `agent ARGS` as the order says; does not return."""
    os.setsid()
    os.chdir(order["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the orders are not for it
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if "errors" in order else output, 2)
    os.environ.clear()
    os.environ.update(order["env"])
    if order.get("file_bytes") is not None:
        # The kernel writes what fits, and ends the process at the next byte: a line that is really torn.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], resource.RLIM_INFINITY))
    if order.get("at_most_seconds") is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, order["at_most_seconds"])
    watch = Watch(order.get("die_at"), order.get("nth", 1), order.get("whole_group", False))
    if order["watched"]:
        sys.addaudithook(watch.hook)
        os.fsync = watch.fsync(os.fsync)  # type: ignore[assignment]
    sys.argv = ["agent", *order["argv"]]
    from agent.cli.main import main

    code: object = 70
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 (what the interpreter would do; but this is a fork)
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if order["watched"]:
            Path(order["output"] + ".places").write_text(json.dumps(watch.seen))
        os._exit(code if isinstance(code, int) else 1)


def obey(order: Mapping[str, Any]) -> int:
    """Run one child to its end and return how it ended: its exit status, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        child(order)
    if order.get("kill_after_seconds") is not None:
        time.sleep(order["kill_after_seconds"])
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if order.get("whole_group") else os.kill)(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def serve() -> None:
    """Import all that a run may need, then answer orders until there are no more."""
    import cma
    import docker
    import git
    import httpx2
    import numpy as np
    import optuna
    import requests
    import rich.live
    import rich.progress
    import tenacity

    import agent.analysis.prompt_preview
    import agent.cli.checks.machine
    import agent.cli.main
    import agent.llm.openai_model
    import agent.modes.centaur.echo
    import agent.modes.centaur.proposer
    import agent.modes.code_edit
    import agent.modes.coding_agents.build
    import agent.modes.fixed
    import agent.run.opening
    import agent.search.local_gp
    import agent.search.optuna_search
    import agent.search.random_search
    import sandbox.bubblewrap.bubblewrap_sandbox
    import sandbox.container.docker_sandbox
    from sandbox.in_memory.runtime import Shared
    from sandbox.interpreter import interpreter, own_interpreter

    shared = Shared(interpreter(own_interpreter()))  # what scoring jobs run from, once for all commands
    shared.runtime.with_packages(("numpy",), compiler=False)
    del cma, docker, git, httpx2, np, optuna, requests, rich, tenacity, agent, sandbox
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"ended": obey(json.loads(line))}), flush=True)
    shared.close()


if __name__ == "__main__":
    serve()
