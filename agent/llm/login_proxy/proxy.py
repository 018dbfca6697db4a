"""An HTTPS proxy (CONNECT, RFC 9110, 9.3.6) that reaches the hosts of an agent's provider and no others."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.files import plain_file
from agent.llm.gateway.check_requests import CHECK_PATH, MAX_CHECKS, Check, CheckRequests
from agent.llm.gateway.connection import AgentConnection, AgentServer, BadRequestError
from agent.llm.gateway.meter import Refusals, Tally
from agent.llm.login_proxy.client_hello import MOST_HELLO_BYTES, ClientHelloError, server_name
from agent.llm.login_proxy.tunnel import ByteBudget, carry
from agent.llm.model import ModelUsage
from agent.text import one_line

PORT = 443
LOGIN_PATH = "/login-file"
_AUTHORITY = re.compile(r"([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)\.?:([0-9]{1,5})", re.ASCII)
_CLOSING_SECONDS = 5.0

Connect = Callable[[str, float], socket.socket]
"""Connects to port 443 of a host within so many seconds. Raises OSError."""


def connect_to(host: str, seconds: float) -> socket.socket:
    """Return a TCP connection to port 443 of a host. Raises OSError."""
    return socket.create_connection((host, PORT), timeout=seconds)


@dataclass(frozen=True)
class TunnelLimits:
    """Limits of the tunnels of one proposal."""

    seconds: float = 900.0  # of all tunnels, from the start of the proxy
    most_bytes: int = 2**30  # of all tunnels, both ways together
    connect_seconds: float = 20.0
    hello_seconds: float = 20.0  # for the client to send its whole TLS ClientHello
    idle_seconds: float = 300.0


class LoginProxy:
    """Serves one proposal of an agent with its own log-in on a socket file, from entry to exit of the context.

    It opens tunnels to port 443 of the allowed hosts, if the TLS connection inside names the same host. Any other
    request is refused and counted. TLS is between the agent and the host: this proxy sees neither calls nor tokens, so
    `usage` is not known. It also answers `POST /check`, and hands the log-in file to the sandbox (`GET /login-file`)
    and takes the renewed one back (`POST`), so that no file on this machine holds a copy.
    """

    def __init__(
        self,
        socket_path: Path,
        hosts: tuple[str, ...],
        *,
        login_file: str = "",
        check: Check | None = None,
        max_checks: int = MAX_CHECKS,
        limits: TunnelLimits = TunnelLimits(),
        log: Path | None = None,
        connect: Connect = connect_to,
    ) -> None:
        """Prepare; entering the context opens the socket, leaving it ends all tunnels.

        Args:
            socket_path: in a folder that only this user can enter.
            hosts: DNS names in lower case.
            login_file: the text of the agent's log-in file.
            check: answers POST /check, at most `max_checks` times; see CheckRequests.
            limits: of the tunnels.
            log: the file that lists connections and refusals at the end, as JSON; None: none is written.
            connect: opens the connection to a host.
        """
        self._socket_path = socket_path
        self._hosts = frozenset(hosts)
        self._login_file = login_file
        self._returned = ""
        self._limits = limits
        self._log = log
        self._connect = connect
        self._refusals, self._faults, self._connections = Refusals(), Tally(), Tally()
        self._checks = CheckRequests(check, max_checks, (), self._refusals, self._note_bug) if check else None
        self._budget = ByteBudget(limits.most_bytes)
        self._answered = threading.Event()  # a host has sent bytes
        self._ended = threading.Event()
        self._until = 0.0
        self._server: AgentServer | None = None

    @property
    def usage(self) -> ModelUsage | None:
        """None: the calls are encrypted for the provider."""
        return None

    @property
    def stop_reason(self) -> str | None:
        """Why tunnels were cut and no more are opened; None if none was."""
        if self._budget.used > self._limits.most_bytes:
            return f"this proposal may transfer {self._limits.most_bytes >> 20} MiB, and no more"
        return None

    @property
    def unreachable(self) -> str | None:
        """Why no host could be reached, if the agent tried to connect to one; None otherwise."""
        faults = self._faults.counts()
        return next(iter(faults)) if faults and not self._answered.is_set() else None

    @property
    def returned_login(self) -> str:
        """The log-in file as the sandbox returned it, which is untrusted; empty if it returned none."""
        return self._returned

    @property
    def refusals(self) -> dict[str, int]:
        """The number of refused requests, by reason."""
        return self._refusals.counts()

    @property
    def connections(self) -> dict[str, int]:
        """The number of tunnels, by host."""
        return self._connections.counts()

    def __enter__(self) -> Self:
        self._until = time.monotonic() + self._limits.seconds
        self._server = AgentServer.start(self._socket_path, self._serve, self._note_bug)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._ended.set()
        self._server.shutdown()
        self._server.cut(_CLOSING_SECONDS)
        self._server.server_close()
        self._socket_path.unlink(missing_ok=True)
        self._write_log()

    def _write_log(self) -> None:
        if self._log is None:
            return
        document = {
            "connections": self.connections,
            "refused": self.refusals,
            "faults": self._faults.counts(),
            "bytes": self._budget.used,
        }
        self._log.parent.mkdir(parents=True, exist_ok=True)
        plain_file(self._log).write_text(json.dumps(document, indent=2) + "\n")

    def _serve(self, agent: AgentConnection) -> None:
        """Answer one request. No fault of agent or host ends the thread with an exception."""
        try:
            self._answer(agent)
        except OSError:  # the agent disconnected
            agent.close_connection = True
        except Exception as bug:  # noqa: BLE001 (one request must not end the proxy)
            agent.close_connection = True
            self._note_bug(bug)

    def _answer(self, agent: AgentConnection) -> None:
        if agent.command == "CONNECT":
            agent.close_connection = True  # after a tunnel, and after a refusal, no other request can follow
            self._answer_connect(agent)
            return
        try:
            body = agent.read_body()
        except BadRequestError as fault:
            self._refuse(agent, fault.status, str(fault))
            return
        match agent.command, agent.path:
            case "POST", path if path == CHECK_PATH and self._checks is not None:
                self._checks.answer(agent, body)
            case "GET", path if path == LOGIN_PATH and self._login_file:
                agent.send_whole(200, "application/json", self._login_file.encode())
            case "POST", path if path == LOGIN_PATH and self._login_file:
                self._returned = body.decode(errors="replace")
                agent.send_whole(200, "text/plain", b"")
            case _:
                what = one_line(f"{agent.command} {agent.path}")[:100]
                self._refuse(agent, 403, f"the proxy opens TLS connections by CONNECT only, and refuses {what}")

    def _refuse(self, agent: AgentConnection, status: int, why: str) -> None:
        self._refusals.refuse(why)
        agent.send_whole(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _answer_connect(self, agent: AgentConnection) -> None:
        found = _AUTHORITY.fullmatch(agent.path)
        host = found[1].lower() if found is not None else ""
        if found is None or host not in self._hosts or int(found[2]) != PORT:
            self._refuse(agent, 403, f"the proxy does not connect to {one_line(agent.path)[:100]}")
            return
        if (why := self.stop_reason) is not None or self._is_over():
            self._refuse(agent, 403, why or "the time of this proposal is over")
            return
        try:
            server = self._connect(host, self._limits.connect_seconds)
        except OSError as error:
            fault = f"{host} cannot be reached ({one_line(error.strerror or str(error))[:100]})"
            self._faults.add(fault)
            agent.send_whole(502, "text/plain; charset=utf-8", f"{fault}\n".encode())
            return
        with closing(server):
            agent.begin_tunnel()
            try:
                hello = self._hello(agent, host)
            except ClientHelloError as error:
                self._refusals.refuse(f"{error}, in a tunnel to {host}")
                return
            self._connections.add(host)
            if not self._budget.spend(len(hello)):
                return
            server.settimeout(self._limits.connect_seconds)
            server.sendall(hello)
            why, n_bytes = carry(
                agent.connection,
                server,
                self._budget,
                idle_seconds=self._limits.idle_seconds,
                is_stopped=self._is_over,
            )
            if n_bytes:
                self._answered.set()
            elif why is None:
                self._faults.add(f"{host} closed the connection without an answer")
            if why is not None and not self._ended.is_set():
                self._faults.add(f"a tunnel to {host} was cut: {why}")

    def _hello(self, agent: AgentConnection, host: str) -> bytes:
        """Return the first bytes of the agent, a TLS ClientHello for `host`. Raises ClientHelloError, OSError."""
        until, data = time.monotonic() + self._limits.hello_seconds, b""
        while (name := server_name(data)) is None:
            left = until - time.monotonic()
            if left <= 0 or len(data) > MOST_HELLO_BYTES + 1024:
                raise ClientHelloError("no TLS ClientHello arrived in time")
            agent.connection.settimeout(left)
            with suppress(TimeoutError):
                piece = agent.rfile.read1(MOST_HELLO_BYTES)
                if not piece:
                    raise ClientHelloError("the connection ended before a TLS ClientHello")
                data += piece
        if name != host:
            raise ClientHelloError(f"the TLS connection is for {one_line(name)[:100]}")
        return data

    def _is_over(self) -> bool:
        return self._ended.is_set() or time.monotonic() > self._until

    def _note_bug(self, bug: BaseException) -> None:
        self._faults.add(f"a request ended with {type(bug).__name__}: {one_line(str(bug))[:200]}")
