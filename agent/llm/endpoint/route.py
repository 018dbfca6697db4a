"""The way to an endpoint: the proxy and the certificates that the environment names. Loopback needs neither.

The HTTP library would read the same variables, but its errors do not name them.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.errors import MissingRequirementError
from agent.extras import install_line
from agent.llm.endpoint.address import describe_endpoint, shown_address
from agent.text import one_line

if TYPE_CHECKING:
    import httpx2

_ENCODINGS = ("", "identity", "gzip", "deflate")
_CERTIFICATE_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_CERTIFICATE_FOLDERS = "SSL_CERT_DIR"
_NO_CERTIFICATES = "set it to a file of certificates in PEM form, or unset it"


@dataclass(frozen=True)
class NamedProxy:
    """A proxy, and the environment variable that names it."""

    variable: str
    url: str = field(repr=False)  # may hold a password

    def __str__(self) -> str:
        return f"the proxy {shown_address(self.url)} ({self.variable})"


def proxy_for(address: str) -> NamedProxy | None:
    """Return the proxy for requests to an address, by the environment's variables; None: they go there directly."""
    parts = urlsplit(address)
    if describe_endpoint(address) is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    for scheme in (parts.scheme, "all"):
        if proxies.get(scheme):
            names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
            variable = next((name for name in names if os.environ.get(name)), names[-1])
            url = proxies[scheme].strip()
            return NamedProxy(variable, url if "://" in url else f"http://{url}")
    return None


def open_client(address: str) -> "httpx2.Client":
    """Return a client for requests to an address, which follows no redirects and keeps no connection open.

    Raises:
        MissingRequirementError: a proxy or a certificate variable cannot be used; the message names the variable.
    """
    import httpx2

    is_remote = describe_endpoint(address) is not None
    is_encrypted = urlsplit(address).scheme == "https"
    certificates = _certificates() if is_remote or is_encrypted else None
    proxy = proxy_for(address)
    try:  # whatever the parsers of addresses raise, the variable is the cause
        if proxy is not None and not urlsplit(proxy.url).hostname:
            raise httpx2.InvalidURL("it names no host")
        return httpx2.Client(
            proxy=proxy.url if proxy is not None else None,
            verify=certificates if certificates is not None else is_remote or is_encrypted,
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )
    except ImportError:
        raise MissingRequirementError(
            f"{_named(proxy)} is a SOCKS proxy; for one, {install_line('socks')}; or unset the variable"
        ) from None
    except (ValueError, httpx2.InvalidURL) as fault:
        why = "its scheme is none of http, https, socks5, socks5h" if "scheme" in str(fault) else str(fault)
        raise MissingRequirementError(
            f"{_named(proxy)} is not the address of a proxy ({one_line(why)}); correct the variable, or unset it"
        ) from None


def http_faults() -> tuple[type[Exception], ...]:
    """Return what the HTTP library raises: its own errors, and those of sockets and codecs that it lets through."""
    import httpx2

    return httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError, ImportError


def unwanted_encoding(headers: Mapping[str, str]) -> str | None:
    """Return the compression of an answer if it is one that this client does not read; None otherwise."""
    encoding = headers.get("content-encoding", "").strip().lower()
    return None if encoding in _ENCODINGS else one_line(encoding)[:40]


def _named(proxy: NamedProxy | None) -> str:
    return f"{proxy.variable} {shown_address(proxy.url)}" if proxy is not None else "the proxy"


def _certificates() -> ssl.SSLContext | None:
    """Return a context that trusts the certificates that the environment names; None if it names none."""
    files = {name: Path(os.environ[name]) for name in _CERTIFICATE_FILES if os.environ.get(name)}
    folders = [Path(name) for name in os.environ.get(_CERTIFICATE_FOLDERS, "").split(os.pathsep) if name]
    if not files and not folders:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for variable, path in files.items():
        try:
            is_folder = path.is_dir() and variable != "SSL_CERT_FILE"  # `requests` takes a folder too
            context.load_verify_locations(None if is_folder else path, path if is_folder else None)
        except (OSError, ValueError) as fault:  # SSLError is an OSError
            why = getattr(fault, "strerror", None) or getattr(fault, "reason", None) or str(fault)
            raise MissingRequirementError(f"{variable} {path}: {one_line(str(why))}; {_NO_CERTIFICATES}") from None
    if folders and not any(folder.is_dir() for folder in folders):
        raise MissingRequirementError(
            f"{_CERTIFICATE_FOLDERS} {folders[0]}: no such folder; set it to a folder of certificates, or unset it"
        )
    for folder in folders:
        context.load_verify_locations(capath=folder)
    return context
