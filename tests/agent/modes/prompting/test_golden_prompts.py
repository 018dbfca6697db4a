"""What a model is sent, whole, as files to read in a review. After a wanted change: WRITE_GOLDEN=1 pytest THIS_FILE."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.edits.edit import WholeFile
from agent.edits.guard import Guard
from agent.llm.model import Message
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import ScriptedModel
from agent.modes.code_edit import CodeEditProposer
from agent.trials.learning_curve import LearningCurve
from agent.trials.trial import Status
from tests.agent.modes.run_so_far import BRIEFING, baseline, context, trial
from tests.agent.modes.test_centaur import SOURCE, SPACE, answer, centaur, history

GOLDEN = Path(__file__).parent / "golden"
SCRIPT = "DEPTH = 4  # layers\n\n\ndef load(path):\n    return path\n"


DEEPER = WholeFile(SCRIPT.replace("4  # layers", "8  # layers"))


@dataclass(frozen=True)
class Observed:
    """What was observed of a trial."""

    curve: LearningCurve
    reported: dict[str, float]
    peak_memory_gb: float

    @property
    def fields(self) -> dict[str, Any]:
        return {**vars(self), "wall_seconds": 10.0}


def check(name: str, messages: Sequence[Message]) -> None:
    text = "\n".join(f"----- {message.role} -----\n{message.content}" for message in messages)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_code_edit() -> None:
    first = Observed(LearningCurve(5.5, 2.9, 0.01, 2.4, 3.2, 2.6), {"num_steps": 120.0, "train_loss": 2.38}, 0.9)
    second = Observed(LearningCurve(5.5, 2.8, 0.01, 2.2, 3.1, 2.5), {"num_steps": 100.0, "train_loss": 2.19}, 1.2)
    trials = [
        baseline(),
        trial(1, "deeper", loss=2.41, kept=True, observed=first.fields),
        trial(2, "wider", loss=2.45, edit=DEEPER, observed=second.fields),
        trial(3, "wider still", status=Status.OUT_OF_MEMORY, reason="2.0 GiB are allowed", edit=DEEPER),
        *(trial(n, f"idea {'abcde'[n % 5]}", loss=2.5 + n / 1000) for n in range(4, 24)),
        replace(trial(24, "more layers", loss=2.46, edit=DEEPER, observed=second.fields), parent=1),
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
