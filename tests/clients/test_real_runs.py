"""The real programs from `agent connect` to a run of a baseline and five trials, with no question asked.

Each is connected by the command that a person types, starts `agent mcp` itself, and has a scripted model on loopback,
in a network namespace without any other network. One of the five scripts cheats.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from tests.clients.install import Client
from tests.clients.plans import Arguments, Call, Say, Step, in_order, value_in
from tests.clients.starting import Person, ask

pytestmark = pytest.mark.long

TASK = Path(__file__).parents[1] / "tasks" / "bigram_plain"
CHEAT = '\nprint("---")\nprint("val_bpb: 0.0")\n'
CHANGES: tuple[tuple[str, dict[str, str], str], ...] = (  # title, replacements, what is added
    ("mix the pairs more", {"MIX = 0.5": "MIX = 0.9"}, ""),
    ("a perfect loss", {"MIX = 0.5": "MIX = 0.05"}, CHEAT),
    ("use every pair", {"MIX = 0.5": "MIX = 0.9", "STRIDE = 3": "STRIDE = 1"}, ""),
    ("smooth less", {"SMOOTHING = 20.0": "SMOOTHING = 1.0"}, ""),
    ("mix the pairs less", {"MIX = 0.5": "MIX = 0.2"}, ""),
)


def _script(replacements: dict[str, str], added: str) -> str:
    source = Task.load(TASK, None).source
    for old, new in replacements.items():
        assert old in source
        source = source.replace(old, new)
    return source + added


def _steps() -> Sequence[Step]:
    """Return what the scripted model does: brief, then each change and its verdict, then the history."""

    def submission(results: Sequence[str]) -> Arguments:
        sent = next(
            result
            for result in reversed(results)
            if '"queued"' in result.replace("\\", "") and "is_final" not in result
        )
        return {"submission": value_in(sent, "submission"), "seconds": 30}

    def is_final(result: str) -> bool:
        return bool(value_in(result, "is_final"))

    steps: list[Step] = [Call("brief", until=lambda result: value_in(result, "incumbent") is not None)]
    for title, replacements, added in CHANGES:
        steps.append(Call("submit", {"title": title, "script": _script(replacements, added)}))
        steps.append(Call("wait", submission, until=is_final))
    return [*steps, Call("history"), Call("best"), Say("all done")]


@pytest.mark.parametrize("name", ["claude", "codex", "opencode"])
def test_five_trials_with_no_question_asked(name: str, installed: Callable[[str], Client], person: Person) -> None:
    runs = person.project / "runs"
    options = ["--task", str(TASK), "--name", "night", "--trials", "6", "--runs", str(runs), "--trust"]

    def connect() -> None:
        command = [sys.executable, "-m", "agent", "connect", name, "--write", "--", *options]
        environment = {"HOME": str(person.home), "PATH": os.environ.get("PATH", os.defpath)}
        subprocess.run(command, cwd=person.project, env=environment, check=True, capture_output=True, text=True)

    finished = ask(name, installed(name), person, in_order(*_steps()), connect, most_seconds=1200)
    output = (finished.ended.stdout + finished.ended.stderr)[-2000:]
    assert (finished.ended.returncode, finished.faults) == (0, []), output
    assert "all done" in finished.ended.stdout
    stored = StoredRun.find(RunsFolder(runs), "night")
    trials = stored.history.trials
    assert [trial.proposal.title for trial in trials] == ["baseline", *(title for title, _, _ in CHANGES)]
    assert all(trial.status is not None and trial.status.ran for trial in trials)
    verdicts: dict[str, Any] = {trial.proposal.title: trial.standing for trial in trials}
    assert verdicts["mix the pairs more"] in ("confirmed", "repeated")
    assert verdicts["a perfect loss"] == "reverted"
    assert stored.best is not None
    assert stored.best.proposal.title in ("mix the pairs more", "use every pair")
    history = json.dumps(finished.results[-2])
    assert all(title in history for title, _, _ in CHANGES)
