"""A network namespace with loopback alone, in which a client runs and finds an endpoint.

The endpoint's code runs in the test: a socket stays in the namespace where it was made, so a process inside makes the
listening socket and sends it out. `python -m tests.clients.namespace FD` is that process.
"""

import array
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_ROOT = Path(__file__).parents[2]
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # ioctl SIOCGIFFLAGS, SIOCSIFFLAGS; IFF_UP


@dataclass(frozen=True)
class Ended:
    """A client that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Namespace:
    """A network namespace with loopback alone, for one command; usable in a `with` block.

    Attributes:
        listening: a socket inside it that listens on 127.0.0.1.

    Raises:
        OSError: this machine lets this user have no namespace; the message says what it said.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # With a pid namespace, nothing that the client starts outlives it: Codex leaves a daemon.
        own = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        enter = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *own]
        command = [*enter, sys.executable, "-m", "tests.clients.namespace", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        _, received, _, _ = socket.recv_fds(ours, 1, 1)
        if not received:
            raise OSError(f"no network namespace here: {self._process.communicate()[1].strip()}")
        self._control = ours
        self.listening = socket.socket(fileno=received[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._control.close()
        self.listening.close()

    def run(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], most_seconds: float) -> Ended:
        """Run a command inside, in a folder, with this environment alone. May be called once.

        Raises:
            subprocess.TimeoutExpired: it ran longer than `most_seconds`, and was killed.
        """
        order = {"argv": [*argv], "folder": str(folder), "environment": dict(environment)}
        self._control.sendall(json.dumps(order).encode())
        self._control.shutdown(socket.SHUT_WR)
        try:
            stdout, stderr = self._process.communicate(timeout=most_seconds)
        except subprocess.TimeoutExpired:
            self._end()
            raise
        return Ended(self._process.returncode, stdout, stderr)

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def _bring_loopback_up(sock: socket.socket) -> None:
    request = array.array("B", struct.pack("16sh14x", b"lo", 0))
    fcntl.ioctl(sock, _GET_FLAGS, request)
    (flags,) = struct.unpack_from("h", request, 16)
    struct.pack_into("h", request, 16, flags | _UP)
    fcntl.ioctl(sock, _SET_FLAGS, request)


def _inside(control: socket.socket) -> None:
    """Send a listening socket out, and become the command that comes back."""
    listening = socket.socket()
    _bring_loopback_up(listening)
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    socket.send_fds(control, [b"x"], [listening.fileno()])
    listening.close()
    with control.makefile("rb") as orders:
        order = json.loads(orders.read())
    control.close()
    os.chdir(order["folder"])
    os.execvpe(order["argv"][0], order["argv"], order["environment"])


if __name__ == "__main__":
    _inside(socket.socket(fileno=int(sys.argv[1])))
