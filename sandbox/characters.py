"""Characters that can control a terminal, reorder the text around them, or are invisible."""

import unicodedata

# Unicode's Default_Ignorable_Code_Point (no font draws these), and the blank Braille pattern.
_NEVER_DRAWN = (
    *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
    (0xE0000, 0xE0FFF),
)
EMOJI_STYLE = "\ufe0e\ufe0f"
"""Selects whether the symbol before it is drawn as text or as a picture; harmless after a symbol."""
_STEERING = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
_CALLED = {"\0": "NULL", "\b": "BACKSPACE", "\v": "VERTICAL TAB", "\f": "FORM FEED", "\r": "CARRIAGE RETURN",
    "\x1b": "ESCAPE"}  # fmt: skip


def is_hidden(character: str, before: str = "") -> bool:
    """Return whether a character controls, reorders or hides text, or is invisible.

    This includes newline, tab and carriage return; a caller that allows them must check for them. `before` is the
    preceding character: after a symbol, the marks of `EMOJI_STYLE` do not count as hidden.
    """
    if character.isascii():
        return not character.isprintable()
    if character in EMOJI_STYLE and before and unicodedata.category(before).startswith("S"):
        return False
    code = ord(character)
    return unicodedata.category(character) in _STEERING or any(low <= code <= high for low, high in _NEVER_DRAWN)


def describe(character: str) -> str:
    """Return the name of a hidden character, for example `RIGHT-TO-LEFT OVERRIDE (U+202E)`."""
    code = f"U+{ord(character):04X}"
    known = _CALLED.get(character) or unicodedata.name(character, "")
    return f"{known} ({code})" if known else code
