"""Runs one request of a coding agent as a job of the bubblewrap sandbox, and reads the files that it edited.

The agent sees the script, the files beside it, a temporary home folder, its own program, the system's programs, and a
loopback port that is forwarded to the gateway. It has no network, no key, no data, and no access to the runs.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.agents.headless import HOME, HeadlessCommand, Program
from agent.execution.training_job import export
from agent.files import read_bytes
from agent.text import last_line, read_tail
from sandbox import host_identity
from sandbox.job import OUTPUT, Execution, Job, Limits, Mount, StoppedBy
from sandbox.job import Sandbox as Sandbox  # noqa: PLC0414 (for agent.modes too, which does not import sandbox/)

PORT = 8765  # of the gateway, on the loopback of the agent's sandbox
BASE_URL = f"http://127.0.0.1:{PORT}"
FOLDER = "/tmp/work"  # the agent's working folder
_IN = "/in"
SOCKET_FOLDERS = "autocentaur-agent-"  # the beginning of their names, among the temporary files
_SOCKET = f"{_IN}/gateway"
MOST_SCRIPT = 200_000  # bytes of an editable file
_MOST_FILE_MB = 64.0  # of any file that it writes
_MOST_OUTPUT = 2**23  # bytes of its result


@dataclass(frozen=True)
class AgentLimits:
    """The limits of one request."""

    seconds: float = 900.0
    memory_gb: float = 2.0
    cpus: float = 2.0
    processes: int = 256
    scratch_mb: float = 512.0


@dataclass(frozen=True)
class AgentWork:
    """The files that an agent edited, and how it ended. All texts are untrusted."""

    files: Mapping[str, str] = field(default_factory=dict)  # the editable files that can be read
    faults: Mapping[str, str] = field(default_factory=dict)  # why each of the rest cannot
    other_files: tuple[str, ...] = ()  # changed, and ignored
    exit_code: int | None = None
    stdout: str = ""  # its end
    stderr: str = ""
    stopped: str = ""  # why it did not end by itself; empty if it did
    seconds: float = 0.0  # wall time


def open_agent_sandbox(accept_unenforced: frozenset[str]) -> Sandbox:
    """Return the sandbox of coding agents, whatever that of the training is. Raises SandboxError if there is none.

    Sockets that killed processes have left are removed, as their control groups are.
    """
    for left in host_identity.folders_of_dead_processes(SOCKET_FOLDERS):
        shutil.rmtree(left, ignore_errors=True)
    from sandbox.bubblewrap import BubblewrapSandbox

    return BubblewrapSandbox(None, accept_unenforced)


@contextmanager
def socket_folder() -> Iterator[Path]:
    """Yield a private folder for the socket of a gateway, and remove it at the end."""
    folder = host_identity.own_folder(SOCKET_FOLDERS)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run_agent(
    sandbox: Sandbox,
    command: HeadlessCommand,
    program: Program,
    files: Mapping[str, bytes],
    *,
    editable: tuple[str, ...],
    gateway_socket: Path,
    folder: Path,
    label: str,
    limits: AgentLimits,
    login_file: str = "",
) -> AgentWork:
    """Run an agent until it ends or reaches a limit. When this returns, all of its processes have ended.

    Args:
        files: the contents of its working folder, by relative path; only the `editable` ones are writable.
        gateway_socket: the gateway's socket file, open to every user; its folder may be private to this user.
        folder: of this machine, for the job's inputs, log and output; made if it does not exist.
        label: names the job's processes, such as RUN/0007/agent.
        login_file: path below HOME for the log-in file that `gateway_socket` serves (`LoginProxy`); empty: none.

    Raises:
        SandboxError: the sandbox failed.
    """
    settings = {
        "files": f"{_IN}/files",
        "folder": FOLDER,
        "home": HOME,
        "home_files": dict(command.home_files),
        "argv": list(command.argv),
        "environment": dict(command.environment),
        "path": list(program.folders),
        "editable": list(editable),
        "port": PORT,
        "gateway_socket": _SOCKET,
        "most_bytes": MOST_SCRIPT,
        "login_file": login_file,
    }
    folder.mkdir(parents=True, exist_ok=True)
    export(dict(files), folder / "files")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "settings.json").chmod(0o644)
    output = folder / "output.json"
    mounts = [Mount(path, inside) for inside, path in program.mounts.items()]
    job = Job(
        argv=("python", "-I", "-B", f"{_IN}/workload.py", f"{_IN}/settings.json", OUTPUT),
        label=label,
        limits=Limits(
            wall_seconds=limits.seconds,
            memory_gb=limits.memory_gb,
            processes=limits.processes,
            cpus=limits.cpus,
            output_mb=_MOST_FILE_MB,
            scratch_mb=limits.scratch_mb,
        ),
        log=folder / "job.log",
        output=output,
        mounts=(
            *mounts,
            Mount(Path(__file__).with_name("workload.py"), f"{_IN}/workload.py"),
            Mount(folder / "settings.json", f"{_IN}/settings.json"),
            Mount(folder / "files", f"{_IN}/files"),
            Mount(gateway_socket, _SOCKET),
        ),
        workdir="/tmp",
        on_cpu=True,
        pidfds=True,
    )
    execution = sandbox.run(job)
    return _work_in(output, execution, editable)


def _work_in(output: Path, execution: Execution, editable: tuple[str, ...]) -> AgentWork:
    """Return the result in the job's output file, which the agent may have forged."""
    stopped = _why_stopped(execution)
    nothing = AgentWork(stopped=stopped, seconds=execution.wall_seconds)
    if stopped:
        return nothing
    try:
        found = json.loads(read_bytes(output, _MOST_OUTPUT))
        files = {name: found["files"][name] for name in editable}
        return AgentWork(
            files={name: str(each["text"]) for name, each in files.items() if "text" in each},
            faults={name: str(each["fault"]) for name, each in files.items() if "text" not in each},
            other_files=tuple(str(name) for name in found["other_files"])[:50],
            exit_code=int(found["exit_code"]),
            stdout=str(found["stdout"]),
            stderr=str(found["fault"] or found["stderr"]),
            seconds=execution.wall_seconds,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return AgentWork(stopped="its result cannot be read", seconds=execution.wall_seconds)


def _why_stopped(execution: Execution) -> str:
    match execution.stopped_by:
        case StoppedBy.WALL_LIMIT:
            return f"it was stopped after {execution.wall_seconds:.0f} s"
        case StoppedBy.MEMORY:
            return "it ran out of memory"
        case StoppedBy.ITSELF if execution.exit_code == 0:
            return ""
        case StoppedBy.ITSELF:
            return f"its job ended with {execution.exit_code}"
        case _:
            return f"it was stopped ({execution.stopped_by})"


def printed_version(sandbox: Sandbox, program: Program) -> tuple[bool, str]:
    """Start a program with --version in its sandbox; return whether it started, and the last line that it printed."""
    shell = 'PATH="$1:$PATH"; exec "$2" --version'
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        log = Path(folder) / "version.log"
        job = Job(
            argv=("sh", "-c", shell, "sh", ":".join([*program.folders, "/usr/bin"]), program.inside),
            label="agent/version",
            limits=Limits(wall_seconds=120, memory_gb=2.0, processes=256, cpus=2.0, scratch_mb=512.0),
            log=log,
            mounts=tuple(Mount(path, inside) for inside, path in program.mounts.items()),
            workdir="/tmp",
            on_cpu=True,
        )
        execution = sandbox.run(job)
        stopped = "" if execution.stopped_by is StoppedBy.ITSELF else _why_stopped(execution)
        return not stopped and execution.exit_code not in (126, 127), stopped or last_line(read_tail(log))
