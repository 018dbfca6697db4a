"""What a scripted model does: a plan decides each reply from the results of the tool calls so far."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Say:
    """The model ends its turn with this text."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool.

    Args:
        tool: the tool's own name; the client may put its server's name before it.
        arguments: the arguments, or a function that returns them, given the results so far.
        until: the call is repeated until this is true of its result.
    """

    tool: str
    arguments: Arguments | Callable[[Sequence[str]], Arguments] = field(default_factory=dict)
    until: Callable[[str], bool] = lambda _result: True


Step = Say | Call
Plan = Callable[[Sequence[str]], Step]
"""Returns the next step, given the texts of all results of the conversation's tool calls, oldest first."""


def in_order(*steps: Step) -> Plan:
    """Return a plan that takes the steps in order; the last one must be a Say, and is repeated for ever."""
    assert isinstance(steps[-1], Say)

    def plan(results: Sequence[str]) -> Step:
        at = 0
        for result in results:
            step = steps[at]
            if isinstance(step, Say) or step.until(result):
                at = min(at + 1, len(steps) - 1)
        step = steps[at]
        if isinstance(step, Call) and callable(step.arguments):
            return Call(step.tool, step.arguments(results))
        return step

    return plan


def value_in(result: str, name: str) -> Any:
    """Return the value of a field of the JSON in a tool's result, which a client may have quoted or put text around.

    Raises:
        LookupError: the result has no such field.
    """
    for text in (result, result.replace('\\"', '"')):
        for found in re.finditer(rf'"{re.escape(name)}"\s*:\s*', text):
            try:
                return json.JSONDecoder().raw_decode(text, found.end())[0]
            except ValueError:
                continue
    raise LookupError(f"no {name!r} in {result!r}")
