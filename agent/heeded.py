"""Which options a mode heeds. What it would ignore is refused: somebody who gives an option expects it to act."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.errors import UsageError
from agent.modes import ECHO, NOISE

_CONTROL = f"centaur:{ECHO}"
_ASKS = ("centaur", "fixed", "code-edit")  # a language model
_OF_A_MODEL = ("base_url", "price", "max_cost", "max_tokens", "context_tokens", "record")
_OF_EDITS = ("attempts", "lookahead", "smoke", "smoke_on", "edit_format")

_RULES: tuple[tuple[Collection[str], str, Callable[[str], bool]], ...] = (
    (("llm_share", "llm_warmup", "llm_every"), "is for centaur", lambda mode: mode in ("centaur", _CONTROL)),
    (_OF_EDITS, "is for code-edit", lambda mode: mode == "code-edit"),
    (("model",), "is for modes that ask a model", lambda mode: mode in (*_ASKS, _CONTROL)),
    (_OF_A_MODEL, "is for modes that ask a model", lambda mode: mode in _ASKS),
    (("hints",), "is for modes with a searcher", lambda mode: mode not in ("fixed", "code-edit", NOISE)),
    (("derived",), "is for modes that search a space", lambda mode: mode not in ("code-edit", NOISE)),
)
"""Options by field of RunConfig, what they are for, and the modes that heed them; all modes heed the others."""


def refuse_unheeded(modes: Collection[str], given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that none of the modes heeds.

    Args:
        modes: as a comparison names them, `centaur:echo` for the control.
        given: the options that somebody wrote, with their values.
    """
    who = f"mode {next(iter(modes))}" if len(modes) == 1 else f"each of the modes {', '.join(modes)}"
    for option, value in given.items():
        for options, is_for, heeds in _RULES:
            if option in options and not any(map(heeds, modes)):
                name = f"{'no-' if value is False else ''}{option.replace('_', '-')}"
                raise UsageError(f"--{name} {is_for}; {who} would ignore it: leave it out")
