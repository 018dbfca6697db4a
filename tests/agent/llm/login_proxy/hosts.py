"""A host of a provider for tests: real TLS on loopback, with anonymous keys, so that no certificate is needed."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CIPHERS = "AECDH:@SECLEVEL=0"
Talk = Callable[[socket.socket], None]


@dataclass
class FakeHost:
    """A host that listens on loopback.

    Attributes:
        port: where it listens.
        names: the names that `connect` was asked for, in order.
        received: what each connection sent first, in order.
    """

    port: int
    names: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    def connect(self, host: str, seconds: float) -> socket.socket:
        """Connect to this host in place of any other; the `connect` of a LoginProxy."""
        self.names.append(host)
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)


@contextmanager
def serving(talk: Talk) -> Iterator[FakeHost]:
    """Serve connections, each in a thread, by `talk`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = FakeHost(listener.getsockname()[1])
        open_sockets: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                open_sockets.append(client)
                threading.Thread(target=quietly, args=(client,), daemon=True).start()

        def quietly(client: socket.socket) -> None:
            with suppress(OSError), client:
                talk(client)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield host
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for client in open_sockets:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_host(answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") -> Iterator[FakeHost]:
    """Serve TLS; each connection's first bytes are kept and answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)

    def talk(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secure:
            host.received.append(secure.recv(65_536))
            secure.sendall(answer)

    with serving(talk) as host:
        yield host


def client_context() -> ssl.SSLContext:
    """Return the context of a client that accepts such a host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    return context


def hello_for(name: str | None, context: ssl.SSLContext | None = None) -> bytes:
    """Return the ClientHello that Python sends to a server of that name."""
    sent = ssl.MemoryBIO()
    made = context or ssl.create_default_context()
    made.check_hostname = made.check_hostname and name is not None
    client = made.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()
