"""A stand-in for a strong model: it answers every prompt with the next hand-written edit that the script does not have.

It is no model: it reads nothing but the script in the prompt. It listens on loopback, as any endpoint, so a run asks it
in its usual way, and its replies are parsed, checked and counted as a model's.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.edits_night.edits import HandEdit, read_edits, shuffled
from tests.agent.llm.fake_server import Answer, fake_server, says

_SEED = re.compile(r"-s(\d+)$")
_SCRIPT = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


class StandIn:
    """Answers requests of several runs at once. Each run asks for a model of its own name, which ends in its seed."""

    def __init__(self, edits: Sequence[HandEdit]) -> None:
        self.calls: Counter[str] = Counter()  # prompts with a script, by name of the model
        self._edits = list(edits)
        self._offered: dict[str, set[str]] = {}  # names of edits, by name of the model

    def reply(self, model: str, messages: Sequence[dict[str, Any]]) -> str:
        """Return the next edit, in the order of the seed; after the last one, those that the script lacks once more."""
        script = _SCRIPT.search("\n".join(message["content"] for message in messages if message["role"] == "user"))
        if script is None:
            return "ready"  # to the small request before a run
        self.calls[model] += 1
        seed = _SEED.search(model)
        assert seed is not None, f"{model} does not end in a seed, such as -s0"
        missing = [edit for edit in shuffled(self._edits, int(seed[1])) if not edit.is_in(script[1])]
        if not missing:
            return "TITLE: nothing is left to try\n"
        offered = self._offered.setdefault(model, set())
        new = [edit for edit in missing if edit.name not in offered]
        if not new:
            offered.clear()
        chosen = (new or missing)[0]
        offered.add(chosen.name)
        return chosen.reply

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return the response to a request of an OpenAI-compatible client."""
        return says(self.reply(request["model"], request["messages"]))


@contextmanager
def serving() -> Iterator[tuple[str, StandIn]]:
    """Serve a stand-in with all edits; yield its address and itself."""
    stand_in = StandIn(read_edits())
    with fake_server(stand_in.answer) as server:
        yield server.base_url, stand_in
