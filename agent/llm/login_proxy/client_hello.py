"""Reads the server name in the first message of a TLS connection (RFC 8446, 4.1.2 and 4.2; RFC 6066, 3)."""

import struct

MOST_HELLO_BYTES = 65_536
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ENCRYPTED_HELLO = 0x0000, 0xFE0D  # types of extensions; the second: draft-ietf-tls-esni


class ClientHelloError(Exception):
    """The bytes are not a TLS ClientHello with one readable server name; the message says why."""


def server_name(data: bytes) -> str | None:
    """Return the server name in a ClientHello, in lower case; None if more bytes are needed to know.

    Args:
        data: the first bytes that a client has sent: TLS records.

    Raises:
        ClientHelloError: it is no ClientHello, or it names no server, or it may name another in encrypted form.
    """
    hello = _handshake(data)
    if hello is None:
        return None
    names = [value for kind, value in _extensions(hello) if kind == _SERVER_NAME]
    if any(kind == _ENCRYPTED_HELLO for kind, _ in _extensions(hello)):
        raise ClientHelloError("the TLS connection hides its server name")
    if len(names) != 1:
        raise ClientHelloError("the TLS connection names no server")
    entries = _Reader(_Reader(names[0]).vector(2))
    if entries.number(1) != 0:
        raise ClientHelloError("the TLS connection names no server")
    name = entries.vector(2)
    if entries.left or not name.isascii():
        raise ClientHelloError("the TLS connection names more than one server")
    return name.decode().lower()


def _handshake(data: bytes) -> bytes | None:
    """Return the body of the ClientHello in TLS records; None if it is not complete."""
    message, at = b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        if data[at : at + 1] not in (b"", bytes([_HANDSHAKE])) or data[at + 1 : at + 2] not in (b"", b"\x03"):
            raise ClientHelloError("the connection does not begin with TLS")
        if len(data) < at + 5:
            return None
        (length,) = struct.unpack_from("!H", data, at + 3)
        if length == 0 or length > 2**14 + 256:
            raise ClientHelloError("the connection does not begin with TLS")
        message += data[at + 5 : at + 5 + length]
        is_long = len(message) >= 4 and int.from_bytes(message[1:4]) > MOST_HELLO_BYTES
        if message[:1] not in (b"", bytes([_CLIENT_HELLO])) or is_long:
            raise ClientHelloError("the connection does not begin with a TLS ClientHello")
        if len(data) < at + 5 + length:
            return None
        at += 5 + length
    return message[4 : 4 + int.from_bytes(message[1:4])]


def _extensions(hello: bytes) -> list[tuple[int, bytes]]:
    """Return type and content of each extension of a ClientHello."""
    reader = _Reader(hello)
    reader.take(2 + 32)  # version, random
    for width in (1, 2, 1):  # session, cipher suites, compression methods
        reader.vector(width)
    block, found = _Reader(reader.vector(2)), []
    while block.left:
        found.append((block.number(2), block.vector(2)))
    return found


class _Reader:
    """Reads numbers and vectors off bytes. Raises ClientHelloError at their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > self.left:
            raise ClientHelloError("the TLS ClientHello is malformed")
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width))

    def vector(self, width: int) -> bytes:
        """Return the bytes that follow their length, a number of `width` bytes."""
        return self.take(self.number(width))
