"""The launch of a job's first process without rights on the host, and the check of that before the job's code runs.

A gate stands between the launcher and the job. A shell that has dropped all rights reports "ready" on its standard
input, a socket; the kernel adds the pid and uid of the sender. The host inspects that process and opens the gate only
if the process has no rights left. The same process then becomes the job.
"""

import os
import re
import resource
import shlex
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import UnsafeLaunchError
from sandbox.host_identity import private_id
from sandbox.job_checks import HAS_LOGGED_IN, WITHOUT_ADDED

# The shell evaluates the host's answer: the job's variables and a final exec. Until then only the sandbox's variables
# are set, because the loader of each program before the gate obeys LD_PRELOAD and similar variables. Only built-in
# commands of the shell read the answer, because the limit of processes may be one.
_GATE = """printf r >&0 && go= && while IFS= read -r line; do go=$go$line'
'; done && eval "$go\""""
# `env -u` removes the variables that shells add. `</dev/null` replaces the socket.
_LAST = f'exec /usr/bin/env {WITHOUT_ADDED} -- "$@" </dev/null'
PROGRAMS = ("/usr/bin/prlimit", "/usr/bin/setpriv", "/usr/bin/env", "/bin/sh")
_OPEN_FILES = 1024
_QUEUED_BYTES = 819_200
_SO_PASSCRED_FIELDS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True)
class Identity:
    """The user of a job, on the host and inside the sandbox, and how bubblewrap switches to it."""

    host_uid: int
    host_gid: int
    uid: int  # inside
    gid: int
    namespaces: tuple[str, ...]  # bubblewrap's options
    prefix: tuple[str, ...] = ()  # command inside that drops the remaining rights


def identity() -> Identity:
    """Return the identity for a new job: `as_root` if root launches it, otherwise `as_user`."""
    return as_root(private_id()) if os.geteuid() == 0 else as_user()


def as_root(user: int) -> Identity:
    """Return the identity for a job that root launches: root builds the mounts, then `setpriv` switches to `user`.

    There is no user namespace: in one, the job would keep uid 0 of the host, could write
    /proc/sys/kernel/core_pattern and so run code as root (measured 2026-11-21 with bubblewrap 0.11.0).
    """
    ids = (f"--reuid={user}", f"--regid={user}", "--clear-groups")
    return Identity(
        host_uid=user,
        host_gid=user,
        uid=user,
        gid=user,
        namespaces=(
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
        ),
        prefix=(PROGRAMS[1], *ids, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
    )


def as_user() -> Identity:
    """Return the identity for a job of an ordinary user: a user namespace that shows the user's uid as 65534."""
    return Identity(
        host_uid=os.geteuid(),
        host_gid=os.getegid(),
        uid=65534,
        gid=65534,
        namespaces=(
            *("--unshare-all", "--unshare-user", "--disable-userns"),
            *("--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"),
        ),
    )


def gate() -> tuple[str, ...]:
    """Return the words before the job's command; their standard input is the job's end of `gate_sockets`."""
    return ("/bin/sh", "-c", _GATE, "sh")


def gate_sockets() -> tuple[socket.socket, socket.socket]:
    """Return the host's end and the job's end of the gate."""
    host, job = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return host, job


@dataclass(frozen=True)
class Waiting:
    """The process that waits at the gate, as the kernel reports it. Both numbers are the host's."""

    pid: int
    uid: int

    @property
    def init(self) -> int:
        """The host's pid of process 1 of its pid namespace; FileNotFoundError if the process has died."""
        return int(_status(self.pid)["PPid"])


def receive(host: socket.socket) -> Waiting | None:
    """Return the process that is ready at the gate; None if the launch ended without one."""
    try:
        data, control, _, _ = host.recvmsg(1, socket.CMSG_SPACE(_SO_PASSCRED_FIELDS.size))
    except ConnectionResetError:
        return None
    if not data:
        return None
    pid, uid, _ = _SO_PASSCRED_FIELDS.unpack(control[0][2])
    return Waiting(pid, uid)


def check_unprivileged(waiting: Waiting, expected: Identity, *, filtered: bool) -> None:
    """Check that the process at the gate has no rights on the host and, if `filtered`, a filter of system calls.

    Raises:
        UnsafeLaunchError: a check failed. None of the job's code has run.
    """
    status = _status(waiting.pid)
    found = []
    if waiting.uid != expected.host_uid or waiting.uid == 0:
        found.append(f"its uid on this machine is {waiting.uid}")
    if set(status["Uid"].split()) != {str(expected.host_uid)}:
        found.append(f"its uids are {status['Uid']}")
    if set(status["Gid"].split()) != {str(expected.host_gid)}:
        found.append(f"its gids are {status['Gid']}")
    if re.search(
        r"^\s*\d+\s+0\s", Path(f"/proc/{waiting.pid}/uid_map").read_text(encoding="utf-8"), re.MULTILINE
    ) and _is_nested(waiting.pid):
        found.append("a user of its namespace is root on this machine")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            found.append(f"{name} is {status[name]}")
    if status["NoNewPrivs"] != "1":
        found.append("it may gain privileges")
    if filtered and status["Seccomp"] != "2":
        found.append("its system calls are not filtered")
    if found:
        raise UnsafeLaunchError(
            f"the job was not started: {'; '.join(found)}. This is a defect of the sandbox or of this "
            "machine's configuration; report it, and use --sandbox docker until it is fixed"
        )


def open_gate(host: socket.socket, environment: Mapping[str, str]) -> None:
    """Start the job, with the variables `environment` in addition to those of the sandbox.

    An answer that is cut short starts nothing, because its last line is the command.
    """
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    host.sendall("\n".join((HAS_LOGGED_IN, *exports, _LAST, "")).encode("utf-8", "surrogateescape"))
    host.shutdown(socket.SHUT_WR)


def limit_init(pid: int, file_bytes: int, processes: int | None) -> None:
    """Set the resource limits of process 1 of the job's pid namespace, as `resource_limits` does for the job."""
    caps = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_MSGQUEUE: _QUEUED_BYTES,
    }
    if processes is not None:
        caps[resource.RLIMIT_NPROC] = processes
    for name, value in caps.items():
        resource.prlimit(pid, name, (value, value))


def die_first(pid: int) -> None:
    """Make the kernel choose a process and its children first when the machine runs out of memory."""
    Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="utf-8")


def resource_limits(file_bytes: int, processes: int | None) -> tuple[str, ...]:
    """Return the command that sets the resource limits of each process; `processes` counts all of the job's user.

    It runs inside the sandbox: from outside, root would need CAP_SYS_RESOURCE, which containers often lack.
    """
    count = () if processes is None else (f"--nproc={processes}",)
    fixed = ("--core=0", f"--nofile={_OPEN_FILES}", f"--msgqueue={_QUEUED_BYTES}")
    return (PROGRAMS[0], *fixed, f"--fsize={file_bytes}", *count)


def _is_nested(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
