"""What a reader sees of a script is what runs; and honest scripts in any language pass."""

import pytest

from agent.edits.guard import Guard
from agent.edits.source_text import hidden_meaning
from agent.errors import EditError

SEEN = '"""A script."""\n\nDEPTH = 4  # layers\nprint(f"depth {DEPTH}")\n'


@pytest.mark.parametrize(
    ("before", "encoding"),
    [
        ("# coding: raw_unicode_escape\n", "raw_unicode_escape"),
        ("#!/usr/bin/env python\n# -*- coding: utf-7 -*-\n", "utf-7"),
        ("# vim: set fileencoding=latin-1 :\n", "latin-1"),
        ("\n# coding: unicode_escape\n", "unicode_escape"),
        ("#\r\n# coding=cp1252\r\n", "cp1252"),
        ("# coding: no-such\n", "no-such"),
    ],
)
def test_another_source_encoding_is_refused_by_name(before: str, encoding: str) -> None:
    with pytest.raises(EditError, match=f"source encoding '{encoding}'"):
        Guard().check(before + SEEN)


@pytest.mark.parametrize(
    "before", ["# coding: utf-8\n", "# -*- coding: UTF8 -*-\n", "\n\n# coding: latin-1\n", "x = 1\n# coding: latin-1\n"]
)
def test_utf8_and_what_declares_nothing_pass(before: str) -> None:
    assert hidden_meaning(before + SEEN) is None


@pytest.mark.parametrize(
    ("added", "name"),
    [
        ("# done\x0cx = 1\n", "FORM FEED"),
        ("# done\rx = 1\n", "CARRIAGE RETURN"),
        ("# done\x0bx = 1\n", "VERTICAL TAB"),
        ("# done\x1b[8m\n", "ESCAPE"),
        ("# done \x85\n", r"U\+0085"),
        ("s = 'user\u202e # admin'\n", "RIGHT-TO-LEFT OVERRIDE"),
        ("s = 'a\u2066b'\n", "LEFT-TO-RIGHT ISOLATE"),
        ("s = 'a\u061cb'\n", "ARABIC LETTER MARK"),
        ("s = 'a\u200bb'\n", "ZERO WIDTH SPACE"),
        ("s = 'a\u00adb'\n", "SOFT HYPHEN"),
        ("s = 'a\u2028b'\n", "LINE SEPARATOR"),
        ("s = 'a\U000e0041b'\n", "TAG LATIN CAPITAL LETTER A"),
        ("s = 'a\U000e0100b'\n", "VARIATION SELECTOR-17"),
        ("s = 'a\ufe0fb'\n", "VARIATION SELECTOR-16"),
        ("ab\u3164 = 1\n", "HANGUL FILLER"),
        ("ab\u034f = 1\n", "COMBINING GRAPHEME JOINER"),
        ("s = '\u2800'\n", "BRAILLE PATTERN BLANK"),
    ],
)
def test_a_hidden_character_is_refused_by_name_with_its_line(added: str, name: str) -> None:
    with pytest.raises(EditError, match=f"line 5 contains an invisible character, .*{name}"):
        Guard().check(SEEN + added)


@pytest.mark.parametrize(
    ("added", "letter"),
    [
        ("DEРTH = 5\n", "CYRILLIC CAPITAL LETTER ER"),
        ("сору = 5\n", "CYRILLIC SMALL LETTER ES"),
        ("x.lοad = 5\n", "GREEK SMALL LETTER OMICRON"),
        ("f(sсale=5)\n", "CYRILLIC SMALL LETTER ES"),
        ("import tоrch\n", "CYRILLIC SMALL LETTER O"),
        ("x = f'{DEРTH}'\n", "CYRILLIC CAPITAL LETTER ER"),
        ("v\u0131ew = 5\n", "LATIN SMALL LETTER DOTLESS I"),
        ("Ꭰ = 5\n", "CHEROKEE LETTER A"),
        ("x\u0660 = 5\n", "ARABIC-INDIC DIGIT ZERO"),
        ("x\u00b7y = 5\n", "MIDDLE DOT"),
        ("a\u05d0 = 5\n", "HEBREW LETTER ALEF"),
    ],
)
def test_a_look_alike_letter_in_a_name_is_refused_by_name(added: str, letter: str) -> None:
    with pytest.raises(EditError, match=f"line 5 has the name .*{letter}"):
        Guard().check(SEEN + added)


@pytest.mark.parametrize("added", ["ＤＥＰＴＨ = 5\n", "𝐃𝐄𝐏𝐓𝐇 = 5\n", "x = f'{ＤＥＰＴＨ}'\n", "ﬁt = fit = 1\n"])
@pytest.mark.parametrize("known", ["", SEEN], ids=["a new script", "an edit of the user's own"])
def test_a_name_in_letters_that_python_reads_as_others_is_refused(added: str, known: str) -> None:
    with pytest.raises(EditError, match="line 5 spells the name"):
        Guard(known=known).check(SEEN + added)


def test_a_name_that_the_user_writes_in_other_letters_may_stand_but_no_other_is_added() -> None:
    own = SEEN + "ﬁt = 1\n"
    assert hidden_meaning(own.replace("DEPTH = 4", "DEPTH = 5"), own) is None
    assert "'fit'" in (hidden_meaning(own + "𝐟𝐢𝐭 = 2\n", own) or "")


@pytest.mark.parametrize("added", ["s = '\0'\n", "# \0\n"])
def test_a_zero_byte_is_refused_by_name(added: str) -> None:
    with pytest.raises(EditError, match=r"null bytes$"):
        Guard().check(SEEN + added)


@pytest.mark.parametrize(
    "added",
    [
        "# ein Größenverhältnis, о чём и с чем; 深さ; עומק\n",
        "s = 'ｆｕｌｌ ✔️ ⚠️ 😀'\n",
        "größe, Δt, σ, α_max, β1, œuvre, số = range(7)\n",
        "шаг, 学习率, ステップ, 깊이 = range(4)\n",
        "def f():\n\tif DEPTH:\n\t\treturn '\\u202e'\n",
        "s = 'no-break\\xa0space \u00a0'\n",
    ],
)
def test_honest_scripts_in_any_language_pass(added: str) -> None:
    assert hidden_meaning(SEEN + added) is None


def test_windows_line_ends_pass() -> None:
    assert hidden_meaning(SEEN.replace("\n", "\r\n")) is None


def test_what_the_baseline_holds_is_no_reason_to_refuse_an_edit_of_it() -> None:
    own = SEEN + "\x0c\ns = 'a\u200bb'\nсору = 1\n"
    guard = Guard(known=own)
    guard.check(own.replace("DEPTH = 4", "DEPTH = 5"))
    with pytest.raises(EditError, match="line 8 contains"):
        guard.check(own + "t = 'a\u200bb'\n")
    with pytest.raises(EditError, match="encoding"):
        guard.check("# coding: utf-7\n" + own)
