"""Opens a port and serves an application on it until Ctrl-C."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.errors import UsageError

MOST_PORTS = 100
"""Number of ports that are tried, counting up."""
SEND_SECONDS = 20.0
"""A browser that takes nothing for so long is dropped. It connects again when it is awake."""
_DEAD_MILLISECONDS = 60_000  # a machine that confirms no packet for so long is dropped: it sleeps, or has no network


def open_port(host: str, first: int) -> socket.socket:
    """Return a socket that listens on the first free port of a host from `first` on.

    Raises:
        UsageError: the host is none of this machine's, or no port is free or allowed.
    """
    last = min(first + MOST_PORTS, 65536) - 1
    for port in range(first, last + 1):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            opened = socket.socket(family, kind, protocol)
        except OSError as error:  # also socket.gaierror
            raise _cannot_listen(host, port, error) from error
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_MILLISECONDS)
            opened.bind(address)
            opened.listen(128)
        except OSError as error:
            opened.close()
            if error.errno != errno.EADDRINUSE:
                raise _cannot_listen(host, port, error) from error
        else:
            return opened
    raise UsageError(f"ports {first} to {last} of {host} are all in use; choose another one with --port")


def serve(opened: socket.socket, application: ASGIApp, started: Callable[[], None]) -> None:
    """Serve an application on a listening socket until the process is stopped, which ends with exit code 130.

    `started` is called when a browser would get an answer.
    """
    config = uvicorn.Config(
        application, http=_Protocol, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    _Server(config, started).run(sockets=[opened])


class _Protocol(H11Protocol):
    """A connection that ends when its browser takes nothing, so that no memory is held for it.

    What waits for a browser is one answer at most, since the application waits for the browser, too.
    """

    _timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to watch the browser: more waits for it than asyncio wants to hold."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_watch()
        super().connection_lost(exc)

    def _watch(self, n_bytes: int) -> None:
        self._timer = self.loop.call_later(SEND_SECONDS, self._look, n_bytes)

    def _look(self, n_before: int) -> None:
        """Drop the browser if as many bytes wait for it as before."""
        n_bytes = self.transport.get_write_buffer_size()
        if n_bytes >= n_before:
            self.transport.abort()
        else:
            self._watch(n_bytes)

    def _end_watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: object) -> None:
        """End the process: nothing needs cleaning up, and open event streams would delay an orderly end."""
        os._exit(130)


def _cannot_listen(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"cannot listen on port {port} of {host}: {error.strerror}; choose others with --port, or leave out --host"
    )
