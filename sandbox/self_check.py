"""The self-check of a sandbox: jobs that try to exceed each limit on this machine. `agent doctor` shows the results."""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.job import Execution, Job, Limits, Sandbox, StoppedBy

_FORKS = """
import os, time
count = 1
try:
    while count < 200:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError:
    pass
print(count)
"""
_NETWORK = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except OSError as error:
    print("no network:", error)
"""
_OUTPUT = """
try:
    open("/out/artifact", "wb").write(bytes(8 << 20))
except OSError as error:
    print(error)
"""
_SCRATCH = """
try:
    open("/tmp/full", "wb").write(bytes(1 << 20))
    open("/tmp/fuller", "wb").write(bytes(1 << 20))
except OSError as error:
    print(error)
"""
_OURS = "AUTOCENTAUR_PROBE"
_LIMITS = Limits(wall_seconds=60.0, memory_gb=0.125, processes=16, output_mb=2.0, scratch_mb=1.5, log_mb=0.01)


@dataclass(frozen=True)
class Finding:
    """The result of one attempt."""

    limit: str  # a name of `Limits`, or "start", "network", "environment", "apart"
    holds: bool
    detail: str  # one line


def probe(sandbox: Sandbox, imports: tuple[str, ...] = (), *, compiles: bool = False) -> tuple[Finding, ...]:
    """Run a few small jobs and return which limits hold.

    This takes about two seconds, and the time to make the copy in memory for scoring jobs.

    Args:
        imports: the modules that scoring jobs will import.
        compiles: whether scoring jobs will use torch.compile.

    Raises:
        SandboxError: the sandbox does not work here; the message has the remedy.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-probe-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        first, printed = _run(sandbox, place, "print('started')")
        if printed != "started\n":
            return (Finding("start", False, f"{first.stopped_by}, exit code {first.exit_code}: {printed.strip()}"),)
        memory, _ = _run(sandbox, place, "kept = bytearray(1 << 30)")
        wall, _ = _run(sandbox, place, "import time; time.sleep(60)", wall_seconds=0.3)
        cpu, _ = _run(sandbox, place, "while True: pass", cpu_seconds=0.2)
        _, forks = _run(sandbox, place, _FORKS)
        _, network = _run(sandbox, place, _NETWORK)
        _, output = _run(sandbox, place, _OUTPUT)
        _, scratch = _run(sandbox, place, _SCRATCH)
        log, _ = _run(sandbox, place, "print('x' * 100_000)")
        os.environ[_OURS] = "1"
        try:
            _, environment = _run(
                sandbox, place, f"import os; print('hidden' if {_OURS!r} not in os.environ else 'seen')"
            )
        finally:
            del os.environ[_OURS]
        apart = _apart(sandbox, replace(_job(place, "pass"), apart=True, imports=imports, compiles=compiles))
    inexact = {limit.partition(":")[0]: limit.partition(":")[2].strip() for limit in first.unenforced}
    return (
        Finding("start", True, first.sandbox),
        Finding("wall_seconds", wall.stopped_by is StoppedBy.WALL_LIMIT, f"ended by {wall.stopped_by}"),
        Finding("memory_gb", memory.stopped_by is StoppedBy.MEMORY, inexact.get("memory", "by the kernel")),
        Finding("cpu_seconds", cpu.stopped_by is StoppedBy.CPU_LIMIT, inexact.get("cpu_seconds", "by the kernel")),
        Finding("processes", forks.strip().isdigit() and int(forks) <= _LIMITS.processes, f"{forks.strip()} of 16"),
        Finding("output_mb", "File too large" in output, output.strip()),
        Finding("scratch_mb", "No space left" in scratch, scratch.strip()),
        Finding("log_mb", log.log_truncated, "the middle was dropped" if log.log_truncated else "not bounded"),
        Finding("network", network.startswith("no network"), network.strip() or "a connection was made"),
        Finding("environment", environment == "hidden\n", f"a variable of ours is {environment.strip() or 'unknown'}"),
        apart,
    )


def _apart(sandbox: Sandbox, job: Job) -> Finding:
    """Return whether scoring jobs run from memory, and how long the copy and a job with and without it take."""
    copied_gb = 0.0
    seconds: dict[str, list[float]] = {"first": [], "memory": [], "disk": []}
    for kind in ("first", *("memory", "disk") * 3):
        started = time.monotonic()
        execution = sandbox.run(replace(job, apart=kind != "disk"))
        seconds[kind].append(time.monotonic() - started)
        if execution.exit_code != 0:
            return Finding(
                "apart", False, f"a scoring job did not start: {job.log.read_text(encoding='utf-8').strip()[-200:]}"
            )
        copied_gb = max(copied_gb, execution.copied_gb)
        lacking = [word for word in execution.unenforced if word.startswith("apart: ")]
        if lacking:
            return Finding("apart", False, lacking[0].partition(": ")[2])
    if not copied_gb:
        return Finding("apart", False, "scoring jobs run from the disk, whose caches remember what they read")
    memory, disk = statistics.median(seconds["memory"]), statistics.median(seconds["disk"])
    once = max(0.0, seconds["first"][0] - memory)
    return Finding(
        "apart",
        True,
        f"scoring jobs run from memory: {copied_gb:.2f} GiB copied once a run in {once:.1f} s; "
        f"then a job takes {memory:.2f} s, from the disk {disk:.2f} s",
    )


def _job(place: Path, code: str) -> Job:
    return Job(
        argv=("python", "-I", "-S", "-c", code),
        label=f"doctor/{os.getpid()}",
        limits=_LIMITS,
        log=place / "log",
        output=place / "artifact",
    )


def _run(sandbox: Sandbox, place: Path, code: str, **limits: float) -> tuple[Execution, str]:
    job = _job(place, code)
    job = replace(job, limits=Limits(**{**vars(_LIMITS), **limits}))
    return sandbox.run(job), job.log.read_text(encoding="utf-8")
