"""Runs inside the sandbox of a coding agent: `python workload.py SETTINGS`.

It copies the files that the agent may see, forwards a loopback port of the sandbox to the gateway's socket, starts the
agent, and at the end writes the editable files into the job's output, as JSON. The caller trusts none of it: the agent
runs as the same user and can change it.
"""

import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_PRINTED = 200_000  # bytes of the end of the agent's output that are kept
MOST_NAMES = 50  # other files that it changed, by name
MOST_LOGIN = 65_536  # bytes of a log-in file


def main(settings_file: str, output: str) -> None:
    settings: dict[str, Any] = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    folder, home = Path(settings["folder"]), Path(settings["home"])
    shutil.copytree(settings["files"], folder, symlinks=True)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644 if str(path.relative_to(folder)) in settings["editable"] else 0o555)
    before = _contents(folder)
    home.mkdir(parents=True)
    for name, text in settings["home_files"].items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    login = home / settings["login_file"] if settings["login_file"] else None
    if login is not None:
        login.parent.mkdir(parents=True, exist_ok=True)
        login.touch(0o600)
        login.write_bytes(exchange_login(settings["gateway_socket"], "GET"))
    listener = socket.create_server(("127.0.0.1", settings["port"]))
    threading.Thread(target=relay, args=(listener, settings["gateway_socket"]), daemon=True).start()
    printed = {name: Path(f"/tmp/agent.{name}") for name in ("stdout", "stderr")}
    with printed["stdout"].open("wb") as out, printed["stderr"].open("wb") as err:
        environment = {**os.environ, "HOME": str(home), "PWD": str(folder), **settings["environment"]}
        environment["PATH"] = ":".join([*settings["path"], environment["PATH"]])
        try:
            ended = subprocess.run(
                settings["argv"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                check=False,
            )
            code, fault = ended.returncode, ""
        except OSError as error:
            code, fault = 127, f"{settings['argv'][0]} cannot be started: {error.strerror}"
    if login is not None:
        return_login(login, settings["gateway_socket"])
    found = {
        "exit_code": code,
        "fault": fault,
        **{name: _end_of(path) for name, path in printed.items()},
        "files": {name: _read(folder, name, settings["most_bytes"]) for name in settings["editable"]},
        "other_files": _changed(before, _contents(folder), settings["editable"]),
    }
    Path(output).write_text(json.dumps(found), encoding="utf-8")


def relay(listener: socket.socket, gateway_socket: str) -> None:
    """Forward each connection of a listening socket to the socket file."""
    while True:
        near, _ = listener.accept()
        try:
            far = socket.socket(socket.AF_UNIX)
            far.connect(gateway_socket)
        except OSError:
            near.close()
            continue
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def exchange_login(gateway_socket: str, method: str, body: bytes | None = None) -> bytes:
    """Get the log-in file from the proxy, or send it back; return the body of the reply. Raises OSError."""
    connection = http.client.HTTPConnection("proxy")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(gateway_socket)
    connection.request(method, "/login-file", body)
    with connection.getresponse() as reply:
        return reply.read()


def return_login(login: Path, gateway_socket: str) -> None:
    """Send the log-in file back, if the agent left one: its client may have renewed the tokens."""
    with suppress(OSError, http.client.HTTPException):
        with os.fdopen(os.open(login, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(MOST_LOGIN + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
        if 0 < len(content) <= MOST_LOGIN:
            exchange_login(gateway_socket, "POST", content)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end, how in ((source, socket.SHUT_RD), (sink, socket.SHUT_WR)):
        with suppress(OSError):
            end.shutdown(how)


def _read(folder: Path, name: str, most_bytes: int) -> dict[str, str]:
    """Return the text of an editable file, or why there is none."""
    path = folder / name
    try:
        if path.resolve() != folder.resolve() / name:
            return {"fault": "it became a link"}
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(most_bytes + 1) if is_file else b""
        if len(content) > most_bytes:
            return {"fault": f"it has more than {most_bytes} bytes"}
        return {"text": content.decode()} if is_file else {"fault": "it is not a file any more"}
    except UnicodeDecodeError:
        return {"fault": "it is not UTF-8 text any more"}
    except OSError as error:
        is_gone = isinstance(error, FileNotFoundError)
        return {"fault": "it was deleted" if is_gone else f"it cannot be read: {error.strerror}"}


def _contents(folder: Path) -> dict[str, int]:
    """Return a hash of each file below a folder, by path; links count by their target."""
    found = {}
    for root, folders, names in os.walk(folder):
        for name in [*names, *(each for each in folders if os.path.islink(os.path.join(root, each)))]:
            path = os.path.join(root, name)
            try:
                if os.path.islink(path):
                    found[os.path.relpath(path, folder)] = hash(os.readlink(path))
                elif os.path.isfile(path):
                    found[os.path.relpath(path, folder)] = hash(Path(path).read_bytes()[: 2**24])
                else:
                    found[os.path.relpath(path, folder)] = 0
            except OSError:
                found[os.path.relpath(path, folder)] = 1
    return found


def _changed(before: Mapping[str, int], after: Mapping[str, int], editable: list[str]) -> list[str]:
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(names - set(editable))[:MOST_NAMES]


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_PRINTED))
        return file.read().decode(errors="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
