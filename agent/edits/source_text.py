"""Checks that a script runs as it reads: no other encoding, no hidden character, no look-alike letter in a name.

Python accepts all of these, and a reader sees none of them: a comment in another encoding can contain a line of code,
a form feed or a lone carriage return can start a second line, and a Cyrillic letter can make a different name.
"""

import ast
import codecs
import re
import unicodedata
from collections.abc import Iterator

from agent.edits.syntax import BYTE_ORDER_MARK, parse_script
from sandbox.characters import describe, is_hidden

_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263, which also says: in line 1 or 2
_NO_CODE = re.compile(r"[ \t\f]*(?:#.*)?")
_WORD = re.compile(r"[0-9A-Za-z_\x80-\U0010ffff]+")

# Letters of other alphabets that look like a Latin letter. Of the alphabets in _ALL_ALIKE, many letters do.
_ALIKE = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϺͿαγικνορστυχωϲϳАВЕЅІЈКМНОРСТУХЬҮҺԌԚԜаеѕіјкмнорстухѡѵүһҽӏԁԍԛԝгпьӀѴ")
_CLEAR_ALONE = frozenset("αγικρστυχω")  # accepted as one-letter words, as in formulas
_ALL_ALIKE = ("ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "GOTHIC", "OLD ITALIC", "CARIAN", "LYCIAN", "LYDIAN",
    "OSAGE", "WARANG", "VAI", "ELBASAN", "TIFINAGH", "MIAO", "RUNIC")  # fmt: skip
_OWN_LATIN = frozenset("ßæøœþðłđħŋəÆØŒÞÐŁĐĦŊƏ")  # Latin letters that are neither accented ASCII nor look like ASCII


def hidden_meaning(source: str, known: str = "") -> str | None:
    """Return the first place, with its line, where `source` does not run as it reads; None if there is none.

    `known` is the source before the edit: its lines and names are accepted.

    Raises:
        SyntaxError, ValueError: it does not parse.
    """
    return (
        other_encoding(source)
        or next(_hidden_characters(source, frozenset(known.split("\n"))), None)
        or next(_odd_names(source, known), None)
    )


def other_encoding(source: str) -> str | None:
    """Return a message if a script declares an encoding other than UTF-8, with the line; None if it does not."""
    text = source.removeprefix(BYTE_ORDER_MARK)
    for number, line in enumerate(re.split(r"\r\n?|\n", text, maxsplit=2)[:2], start=1):
        found = _COOKIE.match(line)
        if found is not None and not _is_utf8(found[1]):
            return f"line {number} declares the source encoding {found[1]!r}: scripts are UTF-8; remove that line"
        if not _NO_CODE.fullmatch(line):
            return None
    return None


def _is_utf8(name: str) -> bool:
    try:
        return codecs.lookup(name).name == "utf-8"
    except (LookupError, ValueError):
        return False


def _hidden_characters(source: str, known: frozenset[str]) -> Iterator[str]:
    for number, line in enumerate(source.removeprefix(BYTE_ORDER_MARK).split("\n"), start=1):
        text = line.removesuffix("\r")
        if (text.isascii() and text.replace("\t", "").isprintable()) or line in known:
            continue
        for before, character in zip(f" {text}", text, strict=False):
            if character != "\t" and is_hidden(character, before):
                yield f"line {number} contains an invisible character, {describe(character)}: write it as an escape"


def _odd_names(source: str, known: str) -> Iterator[str]:
    """Yield a message for each name that looks like another one, or that Python normalises to another one."""
    if source.isascii():
        return
    names = _names(parse_script(source))
    known_names, known_words = _names(parse_script(known)), frozenset(_WORD.findall(known))
    for number, line in enumerate(source.split("\n"), start=1):
        for word in () if line.isascii() else _WORD.findall(line):
            meant = unicodedata.normalize("NFKC", word)
            if meant != word and meant in names and word not in known_words:
                yield f"line {number} spells the name {meant!r} as {word!r}, in other letters: use plain letters"
    for name in sorted(names - known_names):
        odd = None if name.isascii() else _odd_letter(name)
        if odd is not None:
            where = next((n for n, text in enumerate(source.split("\n"), start=1) if name in text), 1)
            yield (
                f"line {where} has the name {name!r}, in which {describe(odd)} looks like another letter or reverses "
                "the text direction: use plain letters"
            )


def _names(tree: ast.AST) -> frozenset[str]:
    """Return all names in a script, as Python normalises them."""
    return frozenset(
        part
        for node in ast.walk(tree)
        if not isinstance(node, ast.Constant)
        for _, value in ast.iter_fields(node)
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str)
        for part in text.split(".")
    )


def _odd_letter(name: str) -> str | None:
    """Return a character of a name that looks like another one or changes the text direction; None if there is none.

    A word of another alphabet is accepted unless it could be read as a Latin one: шаг is, сору is not.
    """
    for character in name:
        is_letter = character.isalpha() and unicodedata.bidirectional(character) == "L"
        is_mark = unicodedata.category(character) in ("Mn", "Mc")  # an accent, or a vowel of the letter before it
        if not (character.isascii() or is_letter or is_mark):
            return character
    for word in re.split("[_0-9]+", name):
        alike = [character for character in word if _is_alike(character)]
        alphabets = {_alphabet(character) for character in word if character.isalpha()}
        if not alike or word in _CLEAR_ALONE:
            continue
        if len(alphabets) > 1 or len(alike) == len(word) or "LATIN" in alphabets:
            return alike[0]
    return None


def _is_alike(character: str) -> bool:
    if character.isascii():
        return False
    alphabet = _alphabet(character)
    if alphabet == "LATIN":
        decomposed = unicodedata.normalize("NFD", character)
        return not (decomposed != character and decomposed[0].isascii()) and character not in _OWN_LATIN
    return character in _ALIKE or alphabet in _ALL_ALIKE


def _alphabet(character: str) -> str:
    name = unicodedata.name(character, "")
    return next((each for each in _ALL_ALIKE if name.startswith(each)), name.partition(" ")[0])
