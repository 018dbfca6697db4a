"""An agent's side of the gateway for tests: plain HTTP over the socket file, and a gateway in a private folder."""

import http.client
import json
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.sources import Endpoints, ReplyLimits, ReplySource, Upstream
from agent.llm.prices import Price
from tests.agent.llm.fake_server import FakeServer
from tests.agent.llm.gateway.replies import ALL, Spoken

KEY = "sk-the-real/key"
PRICE = Price(2.0, 10.0)
LIMITS = ReplyLimits()


class SocketConnection(http.client.HTTPConnection):
    """An HTTP connection over a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Got:
    """What an agent got."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Opened:
    """A gateway of a test, and the files around it."""

    gateway: Gateway
    path: Path
    file: Path

    def exchanges(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Got:
        """Send one request over a connection of its own; a body that is not bytes is sent as JSON."""
        connection = SocketConnection(self.path)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return Got(response.status, response.read(), {n.lower(): v for n, v in response.getheaders()})
        finally:
            connection.close()

    def call(self, spoken: Spoken, *, path: str | None = None, **more: Any) -> Got:
        """Make a model call as an agent of a dialect does."""
        headers = {spoken.key_header: spoken.key}
        return self.ask("POST", path or spoken.path, {**spoken.request, **more}, headers)


def endpoints(server: FakeServer, *names: str, limits: ReplyLimits = LIMITS) -> Endpoints:
    """Return the source of some dialects, or of all, at a server of the tests."""
    openai, other = Upstream(server.base_url, KEY), Upstream(server.root, KEY)
    return Endpoints({name: openai if name in ("chat", "responses") else other for name in names or ALL}, limits=limits)


@contextmanager
def opened(source: ReplySource, tmp_path: Path, **options: Any) -> Iterator[Opened]:
    """Open a gateway; its exchanges go to exchanges.jsonl."""
    file = tmp_path / "exchanges.jsonl"
    options = {"model": "agent:fake-1", "price_of": lambda name: PRICE, "exchanges": [file], **options}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.sock"
        with Gateway(source, path, **options) as gateway:
            yield Opened(gateway, path, file)
        assert not path.exists()
