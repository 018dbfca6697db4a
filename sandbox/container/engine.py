"""The Docker engine of this machine: the calls that the sandbox needs, with errors as SandboxError."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from sandbox.errors import JobLostError, SandboxError, SandboxUnavailableError

_HERE = "unix:///var/run/docker.sock"
_BUILD_SECONDS = 3600
_AGAIN_SECONDS, _PAUSE_SECONDS = 60.0, 0.5  # how long an engine that restarts is asked again, and how often
_ANSWER_SECONDS = 120.0  # starting a container takes 0.4 s, but far longer on an overloaded machine


@dataclass(frozen=True)
class Address:
    """Where the engine listens, and the API version to use."""

    url: str
    api: str


class Stream:
    """A connection to the standard input and output of a process in a container."""

    def __init__(self, raw: Any) -> None:
        # Our own descriptor, so that the SDK's side of the connection can be closed at once.
        self.fd = os.dup(raw.fileno())
        raw._response.close()
        os.set_blocking(self.fd, False)
        self._rest = b""  # an incomplete message

    def read(self) -> bytes | None:
        """Return the output since the last call, b"" if there is none yet; None at its end."""
        pieces = self.read_pieces()
        return None if pieces is None else b"".join(data for _, data in pieces)

    def read_pieces(self) -> list[tuple[int, bytes]] | None:
        """Return the output since the last call, each piece with its stream: 1 is stdout, 2 stderr; None at its end."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        buffer = self._rest + data
        at, pieces = 0, []
        # Each message has a header: one byte for stdout or stderr, three zero bytes, four bytes of length.
        while len(buffer) - at >= 8 and len(buffer) - at - 8 >= (size := int.from_bytes(buffer[at + 4 : at + 8])):
            pieces.append((buffer[at], buffer[at + 8 : at + 8 + size]))
            at += 8 + size
        self._rest = buffer[at:]
        return pieces

    def write(self, data: bytes) -> None:
        """Send `data` to the process. Short messages only."""
        with suppress(BrokenPipeError, ConnectionResetError):  # the process has ended: `read` will return None
            os.write(self.fd, data)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Engine:
    """A connection to the engine, for one thread. Close it after use.

    Raises:
        SandboxUnavailableError: no engine answers, or the engine is on another machine.
    """

    def __init__(self, address: Address | None = None) -> None:
        import docker

        url = address.url if address else docker.utils.kwargs_from_env().get("base_url", _HERE)
        if not url.startswith("unix:"):
            raise SandboxUnavailableError(
                f"the engine at {url} is on another machine, which cannot mount files of this one; unset DOCKER_HOST"
            )
        with _translated("reach the engine", SandboxUnavailableError):
            self._api = docker.APIClient(url, version=address.api if address else "auto", timeout=_ANSWER_SECONDS)
        self.address = Address(url, self._api.api_version)

    def info(self) -> Mapping[str, Any]:
        """Return the engine's information about itself and the machine."""
        with _translated("ask the engine for its information", SandboxUnavailableError):
            return dict(self._api.info())

    def image(self, name: str) -> Mapping[str, Any] | None:
        """Return the description of an image, None if this machine does not have it."""
        from docker.errors import ImageNotFound

        with _translated(f"look for the image {name}"), suppress(ImageNotFound):
            return dict(self._api.inspect_image(name))
        return None

    def build(
        self, context: IO[bytes], dockerfile: str, tag: str, target: str | None, arguments: dict[str, str]
    ) -> None:
        """Build an image from a tar file.

        Raises:
            SandboxUnavailableError: the build failed; the message has the end of its output.
        """
        printed = [""]
        with _translated(f"build {tag}", SandboxUnavailableError):
            for line in self._api.build(
                fileobj=context, custom_context=True, dockerfile=dockerfile, tag=tag, target=target,
                buildargs=arguments, rm=True, forcerm=True, decode=True, timeout=_BUILD_SECONDS,
            ):  # fmt: skip
                printed.append(line.get("stream", ""))
                if "error" in line:
                    message = f"{''.join(printed[-8:]).strip()} {line['error']}".replace("\n", " | ")
                    raise SandboxUnavailableError(f"building the image failed: {message}; correct {dockerfile}")

    def remove_image(self, name: str) -> None:
        """Remove an image. No container may use it."""
        with _translated(f"remove the image {name}"):
            self._api.remove_image(name)

    def create(self, name: str, settings: Mapping[str, Any]) -> None:
        """Create a container."""
        with _translated("create a container"):
            self._api.create_container_from_config(settings, name)

    def attach(self, name: str) -> Stream:
        """Return a connection to the main process of a container. Call it before `start`."""
        with _translated("attach to a container"):
            return Stream(self._api.attach_socket(name, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}))

    def start(self, name: str) -> None:
        """Start a container that was created."""
        with _translated("start a container"):
            self._api.start(name)

    def execute(
        self, name: str, command: list[str], user: str, environment: Mapping[str, str], workdir: str
    ) -> tuple[str, Stream]:
        """Start another process in a running container; return its id and a connection to it."""
        with _translated("start a process in a container"):
            made = self._api.exec_create(name, command, user=user, environment=dict(environment), workdir=workdir)
            return made["Id"], Stream(self._api.exec_start(made["Id"], socket=True))

    def executed(self, process: str) -> Mapping[str, Any]:
        """Return the state of a process that `execute` started: Running, ExitCode, Pid.

        Raises:
            JobLostError: its container is gone, or the engine does not answer.
        """
        with _translated("ask for the state of a process", JobLostError):
            return dict(self._api.exec_inspect(process))

    def state(self, name: str) -> Mapping[str, Any]:
        """Return the state of a container in which a job ran: Running, OOMKilled, ...

        Raises:
            JobLostError: it is gone, or the engine does not answer.
        """
        with _translated("ask for the state of a container", JobLostError):
            return dict(self._api.inspect_container(name)["State"])

    def remove(self, name: str) -> None:
        """Kill all processes of a container and remove it, if it exists."""
        from docker.errors import APIError, NotFound

        with _translated("remove a container"), suppress(NotFound):
            try:
                self._api.remove_container(name, force=True, v=True)
            except APIError as error:
                if error.status_code != 409:  # another process is removing it
                    raise
                self._api.wait(name, condition="removed")

    def remove_at_last(self, name: str) -> None:
        """Remove a container, and wait up to a minute for an engine that does not answer.

        Raises:
            SandboxError: it still does not answer, and processes of the container may be alive.
        """
        deadline = time.monotonic() + _AGAIN_SECONDS
        while True:
            try:
                return self.remove(name)
            except SandboxError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def labelled(self, label: str) -> dict[str, str]:
        """Return the containers, running or not, that have `label`: id → value of the label."""
        with _translated("list the containers"):
            found = self._api.containers(all=True, filters={"label": label})
        return {container["Id"]: container["Labels"][label] for container in found}

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        self._api.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _translated(act: str, kind: type[SandboxError] = SandboxError) -> Iterator[None]:
    """Raise `kind` with a remedy in place of the SDK's errors.

    Raises:
        JobLostError: something outside ended the container.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, ConnectionError) as error:
        message = " ".join(str(getattr(error, "explanation", None) or error).split())
        kind = JobLostError if any(sign in message for sign in _ENDED_FROM_OUTSIDE) else kind
        raise kind(f"Docker could not {act}: {message[:500]}; {_remedy(message)}") from error


def _remedy(message: str) -> str:
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in message), "see the engine's log")


_ENDED_FROM_OUTSIDE = ("No such container", "is not running", "is marked for removal")
_REMEDIES = {
    **dict.fromkeys(_ENDED_FROM_OUTSIDE, "something outside ended it; leave containers of a run alone"),
    "Permission denied": "join the group docker (as good as root), or use --sandbox bubblewrap",
    "No such file or directory": "is Docker installed and started? Or use --sandbox bubblewrap",
    "Connection refused": "start the engine (systemctl start docker), or use --sandbox bubblewrap",
    "timed out": "is the machine overloaded? Try again, or restart the engine",
    "no space left on device": "free some space: docker system df shows its use, docker image prune removes images",
    "could not select device driver": "install the NVIDIA Container Toolkit and restart the engine",
    "No such exec instance": "something outside ended its container; leave containers of a run alone",
    "No such image": "the image was removed during the run: start again",
    "docker-init": "install tini or docker-init",
    "seccomp": "use an engine that can filter system calls",
}
