"""Proxies and certificates of the environment: what does not work is refused at once, with the variable named."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import MissingRequirementError, ModelError
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from tests.agent.llm.fake_server import fake_server, says
from tests.agent.llm.simulated_clock import SimulatedClock

REMOTE = "http://203.0.113.7:8000/v1"  # reserved for documentation: nobody has it
SELF_SIGNED = Path(__file__).with_name("self_signed.pem")
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def model(address: str) -> OpenAIModel:
    return OpenAIModel(
        "fake-1", base_url=address, api_key="sk-key", patience=RetryPolicy(timing=SimulatedClock().timing)
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HTTP_PROXY", "htp://127.0.0.1:7890", "its scheme is none of"),
        ("http_proxy", "ftp://127.0.0.1:7890", "its scheme is none of"),
        ("HTTP_PROXY", "http://user:secret@[::1", "is not the address of a proxy"),
        ("HTTP_PROXY", "http://127.0.0.1:port", "is not the address of a proxy"),
        ("HTTP_PROXY", "http://[bad", "is not the address of a proxy"),
        ("HTTP_PROXY", "http://:80", "is not the address of a proxy"),
        ("ALL_PROXY", "http://", "is not the address of a proxy"),
        ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080", "pip install 'autocentaur[socks]'"),
        ("all_proxy", "socks5h://127.0.0.1:1080", "pip install 'autocentaur[socks]'"),
        ("ALL_PROXY", "socks4://127.0.0.1:1080", "its scheme is none of"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(MissingRequirementError, match=variable) as refused:
        model(REMOTE)
    assert expected in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_proxy_for_other_addresses_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "htp://nowhere")
    model(REMOTE).close()
    monkeypatch.setenv("HTTP_PROXY", "htp://nowhere")
    monkeypatch.setenv("NO_PROXY", "203.0.113.7")
    model(REMOTE).close()


def test_a_proxy_that_nothing_listens_at_is_named(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{closed_port}")
    with pytest.raises(MissingRequirementError) as refused:
        model(REMOTE).probe()
    assert f"nothing listens at the proxy http://127.0.0.1:{closed_port} (HTTP_PROXY)" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server([says('{"word": "heron"}')]) as server:
        monkeypatch.setenv("ALL_PROXY", server.root)
        assert model(REMOTE).probe()
    assert server.paths == [f"POST {REMOTE}/chat/completions"]


def test_loopback_is_reached_past_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "htp://nowhere")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    with fake_server([says('{"word": "heron"}')]) as server:
        assert model(server.base_url).probe()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("address", [REMOTE, "https://llm.example.org/v1", "https://127.0.0.1:1/v1"])
def test_certificates_that_are_gone_are_refused(variable: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/nonexistent/ca.pem")
    with pytest.raises(MissingRequirementError, match=f"{variable} /nonexistent/ca.pem: .*or unset it"):
        model(address)


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for path in (tmp_path / "ca.pem", tmp_path):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(MissingRequirementError, match="SSL_CERT_FILE"):
            model(REMOTE)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    model(REMOTE).close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://no-such-host.invalid/v1", "the host no-such-host.invalid is not found"),
        ("http://127.0.0.1:{port}/v1", r"nothing listens at http://127.0.0.1:\d+/v1 \(Connection refused\); start its"),
        ("http://127.0.0.1:{port}/v1", "`ollama serve`"),
    ],
)
def test_the_cause_of_a_failed_connection_is_reported_at_once(address: str, expected: str, closed_port: int) -> None:
    with pytest.raises(MissingRequirementError, match=expected):
        model(address.format(port=closed_port)).probe()


def test_a_port_without_encryption_is_reported() -> None:
    with fake_server([]) as server, pytest.raises(MissingRequirementError, match="begins with http:// or https://"):
        model(server.base_url.replace("http:", "https:")).probe()


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [(False, r"certificate verify failed.*SSL_CERT_FILE"), (True, "gave no reply .*the connection was lost")],
)
def test_a_certificate_that_nobody_has_signed_is_reported(
    trusted: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # the test is over
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises((MissingRequirementError, ModelError), match=expected):
            model(f"https://127.0.0.1:{listener.getsockname()[1]}/v1").probe()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
