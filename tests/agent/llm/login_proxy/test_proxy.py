"""The proxy of --agent-login: tunnels to the allowed hosts, and nothing else."""

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.llm.login_proxy.proxy import Connect, LoginProxy, TunnelLimits
from tests.agent.llm.gateway.agents import SocketConnection
from tests.agent.llm.login_proxy.hosts import FakeHost, client_context, hello_for, serving, tls_host

HOST = "api.example.org"


@contextmanager
def opened(connect: Connect, limits: TunnelLimits = TunnelLimits(), **options: Any) -> Iterator[LoginProxy]:  # noqa: B008
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proxy"
        with LoginProxy(path, (HOST, "login.example.org"), limits=limits, connect=connect, **options) as proxy:
            yield proxy
        assert not path.exists()


def client(proxy: LoginProxy) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(60)
    raw.connect(str(proxy._socket_path))
    return raw


def head(raw: socket.socket) -> str:
    """Read the head of a reply, and no byte more."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        piece = raw.recv(1)
        if not piece:
            break
        text += piece
    return text.decode()


def tunnel(proxy: LoginProxy, target: str = f"{HOST}:443") -> tuple[socket.socket, str]:
    """Ask for a tunnel; return the connection, and the status line."""
    raw = client(proxy)
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return raw, head(raw).partition("\r\n")[0]


def status(proxy: LoginProxy, target: str) -> int:
    raw, line = tunnel(proxy, target)
    raw.close()
    return int(line.split()[1]) if line else 0


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("target", [f"{HOST}:443", "API.EXAMPLE.ORG:443", f"{HOST}.:443", f"{HOST}:0443"])
def test_tls_through_a_tunnel_to_an_allowed_host(target: str, tmp_path: Path) -> None:
    with tls_host() as host, opened(host.connect, log=tmp_path / "0001" / "log.json") as proxy:
        raw, line = tunnel(proxy, target)
        assert line == "HTTP/1.1 200 Connection established"
        with client_context().wrap_socket(raw, server_hostname=HOST) as secure:
            secure.sendall(b"POST /v1/messages HTTP/1.1\r\n\r\n")
            assert secure.recv(1000).endswith(b"hello")
        wait_until(lambda: proxy.unreachable is None and proxy.connections)
    assert (host.names, host.received) == ([HOST], [b"POST /v1/messages HTTP/1.1\r\n\r\n"])
    assert (proxy.usage, proxy.stop_reason, proxy.refusals) == (None, None, {})
    log = json.loads((tmp_path / "0001" / "log.json").read_text())
    assert (log["connections"], log["refused"]) == ({HOST: 1}, {})
    assert log["bytes"] > 200


@pytest.mark.parametrize(
    "target",
    [
        *(
            "example.org:443",
            "evil.org:443",
            f"{HOST}.evil.org:443",
            f"evil{HOST}:443",
            f"{HOST}..:443",
            f".{HOST}:443",
        ),
        *(f"{HOST}:80", f"{HOST}:8443", f"{HOST}:44", f"{HOST}:4430", f"{HOST}:-443", f"{HOST}:443x", f"{HOST}:", HOST),
        *("127.0.0.1:443", "127.1:443", "2130706433:443", "0x7f000001:443", "[::1]:443", "[::ffff:127.0.0.1]:443"),
        *("169.254.169.254:443", "localhost:443", "0:443"),
        *(
            f"{HOST}@evil.org:443",
            f"evil.org@{HOST}:443",
            f"https://{HOST}:443",
            f"{HOST}:443/evil.org",
            f"//{HOST}:443",
        ),
        *(f"{HOST}%00.evil.org:443", f"{HOST}#.evil.org:443", f"{HOST}?:443", f"{HOST}:443,evil.org:443"),
        "api.example.org\u00ad:443",
        "ａｐｉ.example.org:443",
    ],
)
def test_any_other_target_is_refused_and_counted(target: str) -> None:
    with tls_host() as host, opened(host.connect) as proxy:
        assert status(proxy, target) == 403
        assert sum(proxy.refusals.values()) == 1
    assert host.names == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"http://{HOST}/v1/models"), ("GET", f"https://{HOST}/"), ("POST", f"http://{HOST}/v1/messages")),
        *(
            ("GET", "/"),
            ("HEAD", "/"),
            ("GET", "/check"),
            ("POST", "/check"),
            ("GET", "/login-file"),
            ("PUT", "/check"),
        ),
    ],
)
def test_plain_http_is_refused(method: str, path: str) -> None:
    with tls_host() as host, opened(host.connect) as proxy:
        connection = SocketConnection(proxy._socket_path)
        connection.request(method, path, b"x" if method == "POST" else None)
        assert connection.getresponse().status == 403
        connection.close()
        assert sum(proxy.refusals.values()) == 1
    assert host.names == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.org\r\n\r\n", "does not begin with TLS"),
        (hello_for("evil.org"), "the TLS connection is for evil.org"),
        (hello_for("login.example.org"), "the TLS connection is for login.example.org"),
        (hello_for(None), "names no server"),
    ],
)
def test_a_tunnel_carries_tls_for_its_own_host_alone(sent: bytes, reason: str) -> None:
    with serving(lambda raw: host.received.append(raw.recv(1000))) as host, opened(host.connect) as proxy:
        raw, _ = tunnel(proxy)
        raw.sendall(sent)
        assert raw.recv(1) == b""
        raw.close()
        wait_until(lambda: proxy.refusals)
        assert [key for key in proxy.refusals if reason in key]
    assert not any(host.received)


def test_a_hello_that_arrives_with_the_request_or_byte_by_byte() -> None:
    sent = hello_for(HOST)

    def talk(raw: socket.socket) -> None:
        host.received.append(raw.recv(65_536, socket.MSG_WAITALL))

    with serving(talk) as host, opened(host.connect) as proxy:
        together, slow = client(proxy), tunnel(proxy)[0]
        together.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode() + sent)
        assert "200" in head(together)
        for byte in sent:
            slow.sendall(bytes([byte]))
        for raw in (together, slow):
            raw.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(host.received) == 2)
        together.close()
        slow.close()
    assert host.received == [sent, sent]


def test_a_client_that_sends_no_hello_is_cut() -> None:
    with tls_host() as host, opened(host.connect, TunnelLimits(hello_seconds=0.3)) as proxy:
        raw, _ = tunnel(proxy)
        raw.sendall(b"\x16\x03")
        assert raw.recv(1) == b""
        raw.close()
        wait_until(lambda: proxy.refusals)
    assert list(proxy.refusals) == [f"no TLS ClientHello arrived in time, in a tunnel to {HOST}"]


def test_huge_heads_are_refused_and_others_are_served_meanwhile() -> None:
    with tls_host() as host, opened(host.connect) as proxy:
        idle, half = client(proxy), client(proxy)  # one sends nothing, one half a request
        half.sendall(f"CONNECT {HOST}:443 HT".encode())
        long_line, many = client(proxy), client(proxy)
        long_line.sendall(b"CONNECT " + b"a" * 70_000 + b":443 HTTP/1.1\r\n\r\n")
        assert "414" in head(long_line)
        many.sendall(b"CONNECT a:443 HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n")
        assert "431" in head(many)
        assert status(proxy, f"{HOST}:443") == 200
        for raw in (idle, half, long_line, many):
            raw.close()


def test_a_side_that_has_ended_can_still_receive() -> None:
    def talk(raw: socket.socket) -> None:
        sent = b""
        while piece := raw.recv(65_536):
            sent += piece
        host.received.append(sent)
        raw.sendall(b"the answer")

    with serving(talk) as host, opened(host.connect) as proxy:
        raw, _ = tunnel(proxy)
        raw.sendall(hello_for(HOST) + b"question")
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100) == b"the answer"
        assert raw.recv(100) == b""
        raw.close()
    assert host.received[0].endswith(b"question")


def test_a_lot_of_data_both_ways_at_once_arrives_whole() -> None:
    size = 8 * 2**20

    def talk(raw: socket.socket) -> None:
        sender = threading.Thread(target=raw.sendall, args=(b"s" * size,))
        sender.start()
        n = 0
        while piece := raw.recv(65_536):
            n += len(piece)
        sender.join()
        host.received.append(b"%d" % n)

    with serving(talk) as host, opened(host.connect) as proxy:
        raw, _ = tunnel(proxy)
        sent = hello_for(HOST)
        raw.sendall(sent)
        sender = threading.Thread(target=lambda: (raw.sendall(b"c" * size), raw.shutdown(socket.SHUT_WR)))
        sender.start()
        n = 0
        while piece := raw.recv(65_536):
            n += len(piece)
        sender.join()
        raw.close()
        wait_until(lambda: host.received)
    assert (n, host.received) == (size, [b"%d" % (size + len(sent))])


@pytest.mark.parametrize("chatty", ["client", "server"])
def test_the_bytes_of_all_tunnels_are_bounded(chatty: str) -> None:
    most = 2**20

    def talk(raw: socket.socket) -> None:
        while chatty == "server":
            raw.sendall(b"x" * 65_536)
        while raw.recv(65_536):
            pass

    with serving(talk) as host, opened(host.connect, TunnelLimits(most_bytes=most)) as proxy:
        raw, _ = tunnel(proxy)
        raw.sendall(hello_for(HOST))
        n = 0
        try:
            while True:
                n += len(raw.recv(65_536)) if chatty == "server" else raw.send(b"x" * 65_536)
                assert n < 8 * most
                if chatty == "server" and n == 0:
                    break
                if proxy.stop_reason is not None and chatty == "server":
                    break
        except OSError:
            pass
        raw.close()
        assert proxy.stop_reason == "this proposal may transfer 1 MiB, and no more"
        assert status(proxy, f"{HOST}:443") == 403


def test_an_idle_tunnel_and_one_beyond_the_time_are_cut() -> None:
    with serving(lambda raw: raw.recv(1 << 20, socket.MSG_WAITALL) and None) as host:
        with opened(host.connect, TunnelLimits(idle_seconds=0.3)) as proxy:
            raw, _ = tunnel(proxy)
            raw.sendall(hello_for(HOST))
            assert raw.recv(1) == b""
            raw.close()
        with opened(host.connect, TunnelLimits(seconds=0.5)) as proxy:
            raw, _ = tunnel(proxy)
            raw.sendall(hello_for(HOST))
            assert raw.recv(1) == b""
            raw.close()
            assert status(proxy, f"{HOST}:443") == 403


def test_half_open_tunnels_end_with_the_proposal() -> None:
    ended = threading.Event()

    def talk(raw: socket.socket) -> None:
        while raw.recv(65_536):
            pass
        ended.wait(60)

    n_threads = threading.active_count()
    with serving(talk) as host:
        with opened(host.connect) as proxy:
            held = [tunnel(proxy)[0] for _ in range(5)]
            for raw in held:
                raw.sendall(hello_for(HOST))
                raw.shutdown(socket.SHUT_WR)
            wait_until(lambda: sum(proxy.connections.values()) == 5)
        for raw in held:
            assert raw.recv(1) == b""
            raw.close()
        ended.set()
    wait_until(lambda: threading.active_count() <= n_threads)


def test_connections_beyond_64_are_closed_at_once() -> None:
    with tls_host() as host, opened(host.connect) as proxy:
        held = [client(proxy) for _ in range(64)]
        held[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert "403" in head(held[0])
        extra = client(proxy)
        assert extra.recv(1) == b""
        for raw in (*held, extra):
            raw.close()


def test_a_host_that_cannot_be_reached_is_named() -> None:
    def connect(host: str, _seconds: float) -> socket.socket:
        raise socket.gaierror(-2, "Name or service not known")

    with opened(connect) as proxy:
        assert status(proxy, f"{HOST}:443") == 502
        assert proxy.unreachable == f"{HOST} cannot be reached (Name or service not known)"


def test_a_host_that_answers_nothing_is_named() -> None:
    with serving(lambda raw: raw.recv(1000) and None) as host, opened(host.connect) as proxy:
        raw, _ = tunnel(proxy)
        raw.sendall(hello_for(HOST))
        assert raw.recv(1) == b""
        raw.close()
        wait_until(lambda: proxy.unreachable)
        assert proxy.unreachable == f"{HOST} closed the connection without an answer"


def test_checks_and_the_login_file(tmp_path: Path) -> None:
    def check(script: str) -> tuple[bool, str]:
        return script == "good", f"checked {script}"

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = SocketConnection(proxy._socket_path)
        connection.request(method, path, body)
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found

    host = FakeHost(1)
    with opened(host.connect, check=check, max_checks=2, login_file='{"token": "t"}') as proxy:
        assert ask("POST", "/check", b"good") == (200, b"checked good")
        assert ask("POST", "/check", b"bad") == (422, b"checked bad")
        assert ask("POST", "/check", b"good")[0] == 400
        assert ask("GET", "/login-file") == (200, b'{"token": "t"}')
        assert ask("POST", "/login-file", b'{"token": "new"}')[0] == 200
        assert proxy.returned_login == '{"token": "new"}'
        assert ask("POST", "/login-file", b"x" * (17 * 2**20))[0] == 413
