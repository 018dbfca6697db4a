"""A model that does what any prompt of ours asks for, so that a documented line runs as it would with a real one."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.agent.llm.fake_server import Answer, says, streams

_NUMBER = re.compile(r"^([A-Z]\w*) = (\d+\.\d+)\b.*$", re.MULTILINE)


class ObligingModel:
    """Answers a schema by values that it allows, a script by an edit of its first constant; never twice the same."""

    def __init__(self) -> None:
        self._turns = itertools.count(1)

    def __call__(self, request: Mapping[str, Any]) -> Answer:
        answer = streams if request.get("stream") else says
        return answer(self._reply(request, next(self._turns)))

    def _reply(self, request: Mapping[str, Any], turn: int) -> str:
        schema = request.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is not None:
            return json.dumps({name: _value(rule, turn) for name, rule in schema["properties"].items()})
        prompt = "\n".join(message["content"] for message in request["messages"])
        constant = _NUMBER.search(prompt)
        if constant is None:
            return "There is no constant to change."
        name, value = constant[1], float(constant[2])
        edit = f"<<<<<<< SEARCH\n{constant[0]}\n=======\n{name} = {value * (1 - 0.01 * turn):.6f}\n>>>>>>> REPLACE"
        return f"TITLE: a smaller {name}\n{edit}\n"


def _value(rule: Mapping[str, Any], turn: int) -> Any:
    """Return a value that a JSON schema's rule for one name allows."""
    if "enum" in rule:
        return rule["enum"][turn % len(rule["enum"])]
    low, high = rule["minimum"], rule["maximum"]
    at = low + (high - low) * ((turn * 0.618) % 1)
    return round(at) if rule["type"] == "integer" else at
