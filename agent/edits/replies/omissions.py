"""Comments that stand for code that a model left out: `# ... rest of the code unchanged ...`."""

import re

from agent.errors import EditError

_ELIDED = re.compile(r"#.*(\.\.\.|…).*\b(rest|remain\w*|unchanged|existing|same|before)\b", re.IGNORECASE)
_ELIDED_BEFORE = re.compile(r"#.*\b(rest|remain\w*|unchanged|existing|same)\b.*(\.\.\.|…)", re.IGNORECASE)
_LONGEST = 200  # characters; such comments are short, and the patterns take quadratic time


def refuse_omissions(code: str, source: str, where: str) -> None:
    """Raise EditError if a line of new code stands for lines that were left out.

    Args:
        source: the script before the edit; a comment of its own may look like that.
        where: what holds the code, for the message.
    """
    for number, line in enumerate(code.split("\n"), start=1):
        text = line.strip()
        if not text.startswith("#") or len(text) > _LONGEST or not (_ELIDED.match(text) or _ELIDED_BEFORE.match(text)):
            continue
        if text not in (known.strip() for known in source.split("\n")):
            raise EditError(f"{where}: line {number} replaces lines that are left out ({text}); write all of them")
