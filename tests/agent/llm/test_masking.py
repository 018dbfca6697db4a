"""Secrets are removed from JSON data and from bytes that arrive in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from agent.llm.masking import StreamMask, without_secrets


def test_every_string_of_a_document_is_masked() -> None:
    document = {"a sk-key": ["the sk-key", {"deep": ("x", 1)}], "n": 1.5, "t": True}
    assert without_secrets(document, ["sk-key", ""]) == {
        "a [secret]": ["the [secret]", {"deep": ("x", 1)}], "n": 1.5, "t": True,
    }  # fmt: skip
    assert without_secrets(document, [""]) == document


def test_a_short_word_is_no_secret() -> None:
    """The key `none` for a server without keys must not spoil a reply that contains the word."""
    assert without_secrets("bias = none", ["none", "k"]) == "bias = none"
    mask = StreamMask(["none"])
    assert mask.feed(b"bias = none") + mask.rest() == b"bias = none"


@given(st.lists(st.sampled_from([b"s", b"se", b"sec", b"sesec", b"cret", b"x", b"secret", b'"q', b'\\"q', b""])))
def test_pieces_are_masked_as_the_whole_would_be(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    for secret in (b'\\"quote', b'"quote', b"secret"):
        whole = whole.replace(secret, b"[secret]")
    mask = StreamMask(["secret", '"quote', ""])
    passed = [mask.feed(piece) for piece in pieces]
    assert b"".join(passed) + mask.rest() == whole
    assert mask.rest() == b""


def test_only_the_beginning_of_a_secret_is_held_back() -> None:
    mask = StreamMask(["secret"])
    assert [mask.feed(piece) for piece in (b"a sec", b"ond", b" s", b"ecret", b".")] == [
        b"a ", b"second", b" ", b"[secret]", b".",
    ]  # fmt: skip
