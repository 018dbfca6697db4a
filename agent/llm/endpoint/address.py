"""Address, key and account of a model endpoint: which are valid, which parts are secret, what of them may be shown."""

import base64
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from agent.errors import MissingRequirementError
from agent.text import one_line

DEFAULT_ADDRESS = "https://api.openai.com/v1"
ADDRESS_OPTION = "--base-url (OPENAI_BASE_URL)"
KEY_VARIABLE = "OPENAI_API_KEY"
ACCOUNT_HEADERS = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
"""The headers that choose whom OpenAI charges for a request, by environment variable."""
HIDDEN = "***"
"""Replaces a secret in an address that is stored or shown."""
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_PUBLIC_PARAMETERS = ("api-version", "version", "model")  # of a query; the value of any other may be a key


def checked_address(text: str, option: str = ADDRESS_OPTION, example: str = DEFAULT_ADDRESS) -> str:
    """Return the address of an endpoint without blanks around it and without a slash at its end.

    Args:
        text: the address.
        option: the option or variable that gives it, for the message.
        example: a valid address, for the message.

    Raises:
        MissingRequirementError: it is no such address; the message says what to write.
    """
    text = text.strip()
    given = f"{option} {shown_address(text)}"
    if any(quote_mark in text for quote_mark in _QUOTES):
        raise MissingRequirementError(f"{given}: the address contains quotes; write it without them")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise MissingRequirementError(f"{given}: the address contains a character that no address has; write it again")
    if "://" not in text:
        raise MissingRequirementError(f"{given}: the address has no scheme; write {_with_scheme(text)}")
    try:
        parts = urlsplit(text)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise MissingRequirementError(f"{given}: not a valid address; write one such as {example}") from None
    if parts.scheme not in ("http", "https"):
        raise MissingRequirementError(f"{given}: the scheme is neither http nor https; write http:// or https://")
    if not is_valid or parts.fragment:
        raise MissingRequirementError(f"{given}: not a valid address; write one such as {example}")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/completions")):
        raise MissingRequirementError(f"{given}: leave out /chat/completions, which is added to the address")
    return text if parts.query else text.rstrip("/")


def checked_key(key: str | None, variable: str = KEY_VARIABLE) -> str | None:
    """Return a key without blanks and line ends around it; None if nothing is left.

    Raises:
        MissingRequirementError: no HTTP header can hold the key, or it is in quotes; the message names the variable.
    """
    if (key or "").lstrip().lower().startswith("bearer "):
        raise MissingRequirementError(f"{variable} begins with `Bearer`; set it to the key alone")
    return _checked_header(key, variable)


def account_headers(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for the organization and the project that the environment's variables name, if any.

    Raises:
        MissingRequirementError: as `checked_key` does.
    """
    given = {header: _checked_header(variables.get(name), name) for name, header in ACCOUNT_HEADERS.items()}
    return {header: value for header, value in given.items() if value is not None}


def _checked_header(text: str | None, variable: str) -> str | None:
    """Return a text for an HTTP header without blanks around it; None if nothing is left. Raises as `checked_key`."""
    text = (text or "").strip()
    if any(quote_mark in text for quote_mark in _QUOTES):
        raise MissingRequirementError(f"{variable} contains quotes; set it without them")
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise MissingRequirementError(
            f"{variable} contains a blank, a line end or a letter beyond ASCII, and cannot be sent; set it again"
        )
    return text or None


def chat_address(address: str) -> str:
    """Return the address that requests go to, without user name and password; the query is kept."""
    parts = urlsplit(address)
    path = f"{parts.path.rstrip('/')}/chat/completions"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path).geturl()


def authorization(address: str, key: str | None) -> str:
    """Return the header `Authorization`: the user name and password of the address, otherwise the key.

    Servers on this machine need no key, but some refuse a request without the header.
    """
    pair = _user_and_password(address)
    return f"Basic {_encoded(pair)}" if pair is not None else f"Bearer {key or 'none'}"


def secrets_of(address: str, key: str | None) -> tuple[str, ...]:
    """Return the key, and the secrets in an address in each spelling in which a server may repeat them."""
    found = [key or ""]
    pair = _user_and_password(address)
    if pair is not None:
        secret = pair[1] or pair[0]  # some servers take a key as the user name
        found += [_encoded(pair), secret, quote(secret, safe="")]
    for name, value in parse_qsl(urlsplit(address).query):
        if name.lower() not in _PUBLIC_PARAMETERS:
            found += [value, quote(value, safe="")]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def shown_address(text: str) -> str:
    """Return scheme, host, port and path of an address that may be malformed: nothing that may be a secret."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    return one_line(scheme + separator + re.split(r"[?#]", rest.rpartition("@")[2])[0])


def public_address(address: str) -> str:
    """Return the address as it is stored in a run, with `***` for each secret."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = [
        (name, value if name.lower() in _PUBLIC_PARAMETERS else HIDDEN)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return parts._replace(
        netloc=f"{HIDDEN}{at}{host}" if user else host,
        query="&".join(f"{quote(name, safe='')}={quote(value, safe='*')}" for name, value in query),
    ).geturl()


def with_secrets(stored: str, whole: str | None) -> str:
    """Return the address whose `public_address` is stored in a run.

    Args:
        stored: from run.json.
        whole: the address that the environment names, if any.

    Raises:
        MissingRequirementError: the stored address lacks its secrets, and `whole` is another one.
    """
    if HIDDEN not in stored:
        return checked_address(stored)
    if whole is not None and public_address(checked_address(whole)) == stored:
        return checked_address(whole)
    raise MissingRequirementError(
        f"the password or key in the address {shown_address(stored)} is not stored: "
        "set OPENAI_BASE_URL to the whole address and resume the run"
    )


def host_of_address(base_url: str | None) -> str:
    """Return the host of an endpoint; of a malformed address, what may be shown of it. None: OpenAI's own."""
    address = base_url or DEFAULT_ADDRESS
    try:
        return urlsplit(address).hostname or shown_address(address)
    except ValueError:
        return shown_address(address)


def describe_endpoint(base_url: str | None) -> str | None:
    """Return the remote host that receives the script's source; None if the source stays on this machine."""
    host = host_of_address(base_url)
    try:
        number = ipaddress.ip_address(host)
        is_here = number.is_loopback or number.is_unspecified  # servers print http://0.0.0.0:8000 as their address
    except ValueError:
        is_here = host == "localhost"
    return None if is_here else host


def _with_scheme(text: str) -> str:
    """Return an address without a scheme as it was probably meant: a port or a number is rarely behind TLS."""
    shown = shown_address(text).lstrip(":/")
    host = shown.partition("/")[0]
    return f"http://{shown}" if ":" in host or host == "localhost" or host[:1].isdigit() else f"https://{shown}"


def _user_and_password(address: str) -> tuple[str, str] | None:
    parts = urlsplit(address)
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def _encoded(pair: tuple[str, str]) -> str:
    return base64.b64encode(":".join(pair).encode()).decode()
