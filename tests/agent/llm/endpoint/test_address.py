"""Addresses and keys: what is refused, with the variable named, and what of them is shown and stored."""

import base64

import pytest

from agent.errors import MissingRequirementError
from agent.llm.endpoint.address import (
    authorization,
    chat_address,
    checked_address,
    checked_key,
    describe_endpoint,
    public_address,
    secrets_of,
    shown_address,
    with_secrets,
)

SECRET = "http://user:p%40ss-word@llm.example.org:8000/v1?api-key=QUERY-KEY&api-version=2024-02-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:11434/v1", "write http://localhost:11434/v1"),
        ("127.0.0.1:11434", "write http://127.0.0.1:11434"),
        ("//127.0.0.1:9/v1", "write http://127.0.0.1:9/v1"),
        ("api.openai.com/v1", "write https://api.openai.com/v1"),
        ("user:secret@host/v1", "write https://host/v1"),
        ('"http://127.0.0.1:9/v1"', "contains quotes"),
        ("'http://127.0.0.1:9/v1", "contains quotes"),
        ("\u201chttp://127.0.0.1:9/v1\u201d", "contains quotes"),
        ("http://127.0.0.1 :9/v1", "a character that no address has"),
        ("http://127.0.0.1:9/v1\nx", "a character that no address has"),
        ("http://host\u2013name/v1", "a character that no address has"),
        ("http:\\\\host\\v1", "a character that no address has"),
        ("http:/host/v1", "no scheme"),
        ("http://", "not a valid address"),
        ("http:///v1", "not a valid address"),
        ("http://[::1/v1", "not a valid address"),
        ("http://host:99999/v1", "not a valid address"),
        ("http://host:port/v1", "not a valid address"),
        ("http://host:0/v1", "not a valid address"),
        ("http://host/v1#a", "not a valid address"),
        ("ftp://host/v1", "write http:// or https://"),
        ("htp://host/v1", "write http:// or https://"),
        ("http://host/v1/chat/completions", "leave out /chat/completions"),
        ("", "no scheme"),
    ],
)
def test_what_is_no_address_is_refused_by_name(text: str, expected: str) -> None:
    with pytest.raises(MissingRequirementError, match="OPENAI_BASE_URL") as refused:
        checked_address(text)
    assert expected in str(refused.value)
    assert "secret" not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" http://127.0.0.1:8080/v1/ \r\n", "http://127.0.0.1:8080/v1"),
        ("HTTPS://Host/v1", "HTTPS://Host/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://h/openai?api-version=1", "https://h/openai?api-version=1"),
    ],
)
def test_blanks_around_an_address_and_its_last_slash_are_left_out(text: str, address: str) -> None:
    assert checked_address(text) == address


@pytest.mark.parametrize(
    "key",
    ["sk-a\u2014b", "sk-a b", "sk-a\rb", "sk-a\nb", '"sk-ab"', "'sk-ab'", "sk-\x00a", "Bearer sk-ab", "sk-\u200bab"],
)
def test_a_key_that_no_header_holds_is_refused_by_name(key: str) -> None:
    with pytest.raises(MissingRequirementError, match="OPENAI_API_KEY") as refused:
        checked_key(key)
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(("key", "used"), [(" sk-ab\r\n", "sk-ab"), ("", None), (" \n", None), (None, None)])
def test_blanks_around_a_key_are_left_out(key: str | None, used: str | None) -> None:
    assert checked_key(key) == used


def test_the_secrets_of_an_address_are_sent_and_never_shown() -> None:
    pair = base64.b64encode(b"user:p@ss-word").decode()
    assert (
        chat_address(SECRET)
        == "http://llm.example.org:8000/v1/chat/completions?api-key=QUERY-KEY&api-version=2024-02-01"
    )
    assert authorization(SECRET, "sk-key") == f"Basic {pair}"
    assert set(secrets_of(SECRET, "sk-key")) == {"sk-key", pair, "p@ss-word", "p%40ss-word", "QUERY-KEY"}
    assert shown_address(SECRET) == "http://llm.example.org:8000/v1"
    assert public_address(SECRET) == "http://***@llm.example.org:8000/v1?api-key=***&api-version=2024-02-01"
    assert shown_address("http://a:b/c?d@host/v1") == "http://host/v1"
    assert authorization("http://host/v1", "sk-key") == "Bearer sk-key"
    assert authorization("http://host/v1", None) == "Bearer none"


def test_a_key_in_place_of_a_user_name_is_a_secret() -> None:
    for address in ("https://sk-key@host/v1", "https://sk-key:@host/v1"):
        assert "sk-key" in secrets_of(address, None)
        assert "sk-key" not in public_address(address) + shown_address(address)


def test_a_stored_address_gets_its_secrets_from_the_environment() -> None:
    stored = public_address(SECRET)
    assert with_secrets(stored, SECRET) == SECRET
    assert with_secrets("http://host/v1", SECRET) == "http://host/v1"
    for other in (None, "http://user:p@other/v1", "http://llm.example.org:8000/v1"):
        with pytest.raises(MissingRequirementError, match="set OPENAI_BASE_URL to the whole address and resume"):
            with_secrets(stored, other)


def test_only_a_remote_endpoint_is_announced() -> None:
    assert describe_endpoint("http://127.0.0.1:8080/v1") is None
    assert describe_endpoint("http://localhost:11434/v1") is None
    assert describe_endpoint("http://[::1]:8000/v1") is None
    assert describe_endpoint("http://0.0.0.0:8000/v1") is None  # as vLLM prints its own address
    assert describe_endpoint("https://llm.example.org/v1") == "llm.example.org"
    assert describe_endpoint(None) == "api.openai.com"
    assert describe_endpoint("http://user:secret@[::1/v1") == "http://[::1/v1"
