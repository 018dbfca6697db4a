"""The server name of real and of forged TLS ClientHellos."""

import random
import struct

import pytest

from agent.llm.login_proxy.client_hello import ClientHelloError, server_name
from tests.agent.llm.login_proxy.hosts import client_context, hello_for


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!HH", kind, len(content)) + content


def names(*entries: bytes, kind: int = 0) -> bytes:
    listed = b"".join(bytes([kind]) + struct.pack("!H", len(entry)) + entry for entry in entries)
    return extension(0, struct.pack("!H", len(listed)) + listed)


def hello(*extensions: bytes) -> bytes:
    """Return a ClientHello with these extensions, in one record."""
    block = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += struct.pack("!H", len(block)) + block
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


@pytest.mark.parametrize("context", [None, client_context()])
def test_the_name_in_a_real_one(context: object) -> None:
    assert server_name(hello_for("API.Example.org", context)) == "api.example.org"  # type: ignore[arg-type]


def test_every_beginning_of_a_real_one_needs_more_bytes() -> None:
    whole = hello_for("api.example.org")
    assert [server_name(whole[:n]) for n in range(len(whole))] == [None] * len(whole)
    assert server_name(whole + b"more") == "api.example.org"


def test_one_that_is_divided_into_records() -> None:
    message = hello(names(b"a.example"))[5:]
    records = b"".join(
        b"\x16\x03\x03" + struct.pack("!H", len(piece)) + piece
        for piece in (message[:1], message[1:9], message[9:40], message[40:])
    )
    assert server_name(records) == "a.example"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin with TLS"),
        (b"SSH-2.0-x\r\n", "does not begin with TLS"),
        (b"\x16\x03\x01\x00\x00", "does not begin with TLS"),
        (b"\x16\x03\x01\xff\xff", "does not begin with TLS"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "TLS ClientHello"),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", "TLS ClientHello"),
        (hello(), "names no server"),
        (hello_for(None), "names no server"),
        (hello(names(b"a.example", b"b.example")), "more than one"),
        (hello(names(b"a.example"), names(b"b.example")), "names no server"),
        (hello(names(b"a.example", kind=1)), "names no server"),
        (hello(names("ä.example".encode())), "more than one"),
        (hello(extension(0, b"\x00\x09\x00")), "malformed"),
        (hello(names(b"a.example"), extension(0xFE0D, b"inner")), "hides its server name"),
        (hello(b"\x00\x00\xff\xff"), "malformed"),
    ],
)
def test_what_names_not_one_server_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ClientHelloError, match=message):
        server_name(data)


def test_damaged_ones_raise_nothing_else() -> None:
    chance, whole = random.Random(3), hello_for("api.example.org")
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            name = server_name(bytes(damaged))
        except ClientHelloError:
            continue
        assert name is None or name.isascii()
