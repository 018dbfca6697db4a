"""What a model is sent, whole, as files to read in a review. After a wanted change: WRITE_GOLDEN=1 pytest THIS_FILE."""

import os
from collections.abc import Sequence
from pathlib import Path

from agent.edits.guard import Guard
from agent.llm.model import Message
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import ScriptedModel
from agent.modes.code_edit import CodeEditProposer
from agent.trials.trial import Status
from tests.agent.modes.run_so_far import BRIEFING, baseline, context, trial
from tests.agent.modes.test_centaur import SOURCE, SPACE, answer, centaur, history

GOLDEN = Path(__file__).parent / "golden"
SCRIPT = "DEPTH = 4  # layers\n\n\ndef load(path):\n    return path\n"


def check(name: str, messages: Sequence[Message]) -> None:
    text = "\n".join(f"----- {message.role} -----\n{message.content}" for message in messages)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_code_edit() -> None:
    trials = [
        baseline(),
        trial(1, "deeper", loss=2.41, kept=True),
        trial(2, "wider", loss=2.45),
        trial(3, "wider still", status=Status.OUT_OF_MEMORY, reason="2.0 GiB are allowed"),
    ]
    model = ScriptedModel(["TITLE: no blocks", "TITLE: none again"])
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    CodeEditProposer(lambda _: model, prompts, BRIEFING, Guard(required=("load",)), attempts=2).propose(
        context(SCRIPT, trials)
    )
    check("code_edit", model.requests[-1])


def test_centaur() -> None:
    # Before the first generation ends the search has no eigenvectors, whose signs differ between machines.
    model = ScriptedModel([answer({"DEPTH": 9}), answer()])
    centaur(model).propose(context(SOURCE, history(9), space=SPACE))
    check("centaur", model.requests[-1])
