"""A setting of a script: a number or a string in its text that a constant can replace."""

import ast
import re
from contextlib import suppress
from dataclasses import dataclass, field

from agent.edits.assignments import literal_value
from agent.edits.edit import Value
from agent.errors import EditError
from agent.task.init.python_file import Source
from agent.task.init.settings.declared import NOTHING, Declared

KINDS = {
    "argument": "command-line options",
    "dataclass": "fields of classes",
    "dict": "entries of a dict",
    "variable": "variables",
    "default": "default arguments of functions",
    "call": "literal arguments of calls",
    "environment": "environment variables",
}
"""Kinds of settings besides constants, in words."""
CONFIG_NAME = re.compile(r"conf|cfg|param|setting|option|args|default|hyper|hps|flags", re.IGNORECASE)
"""Names of classes and variables that hold settings."""
UNREAD = "nothing reads it"
"""Why a variable is not searched; in a module, others may read it."""
_NO_NAME = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True)
class Setting:
    """A number or a string that controls a script."""

    name: str  # as a constant: LEARNING_RATE
    value: Value
    kind: str  # one of KINDS, or `constant`
    display_name: str  # as in the script: --learning-rate, Config.lr
    where: str  # train.py:12
    node: ast.expr | ast.stmt | None = None  # what a constant replaces; None: it is not in a Python file
    declared: Declared = NOTHING
    longer: str = ""  # a longer name, used if the first is taken
    written: str = "{}"  # what replaces the node, {} being the name of the constant
    others: tuple[ast.expr, ...] = ()  # further places with the same value, which the same constant replaces
    unused: str = ""  # why no search should change it: something else decides the value; empty: it takes effect
    is_given: bool = False  # the user passes the value to the script
    key: str = field(default="", compare=False)  # what two settings of one name share: n_layer, lr

    @property
    def nodes(self) -> tuple[ast.expr | ast.stmt, ...]:
        """All places that the constant replaces."""
        return () if self.node is None else (self.node, *self.others)


def constant_name(text: str) -> str:
    """Return an upper-case constant name for a name such as `--learning-rate` or `n_layer`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = _NO_NAME.sub("_", spaced.upper()).strip("_")
    return f"N{name}" if name[:1].isdigit() else name


def setting_at(
    source: Source, kind: str, name: str, shown: str, node: ast.expr, *, declared: Declared = NOTHING
) -> Setting | None:
    """Return the setting whose value is the literal `node`, or None if that is not a number or a string.

    Args:
        source: the script.
        kind: one of KINDS.
        name: as in the script, e.g. n_layer.
        shown: with its owner, e.g. Config.n_layer.
        node: the value.
        declared: what the script says about its values.
    """
    with suppress(EditError):
        constant = constant_name(name)
        value = declared.converted(literal_value(name, node))
        if not constant or value is None:
            return None
        return Setting(
            constant, value, kind, shown, source.at(node), node, declared, constant_name(shown), key=constant
        )
    return None
