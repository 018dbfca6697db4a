"""Mode centaur-code with --approve: a person decides about structures and about numbers, through the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.trials.hybrid.turn import TurnKind
from agent.trials.trial import Status, Trial
from tests.agent.cli.clients.test_approve import ENVIRONMENT, Runner
from tests.commands import agent
from tests.kill_anywhere.killed_runs import INSTANT, task_without_numbers

N_TRIALS = 12
EDIT = (
    "TITLE: idea {n}\n<<<<<<< SEARCH\ndef loss():\n=======\n"
    "EXTRA_{n} = 0.5  # tune: 0..1\n\n\ndef loss():\n>>>>>>> REPLACE\n"
)
Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return lambda *argv: agent(*argv, cwd=tmp_path, env=ENVIRONMENT)


class Person:
    """A person who decides about trials of a run in the order in which they wait, each time in a process of its own."""

    def __init__(self, folder: Path, command: Command) -> None:
        self._folder, self._command = folder, command
        recording = folder / "replies.jsonl"
        recording.write_text("".join(json.dumps({"reply": EDIT.format(n=n)}) + "\n" for n in range(40)))
        begin = [
            "run",
            "--task",
            str(task_without_numbers(folder)),
            "--mode",
            "centaur-code",
            "--model",
            f"replay:{recording}",
        ]
        self.runner = Runner(folder, [*begin, "--trials", str(N_TRIALS), "--approve", "--name", "r"])

    def waiting(self, number: int) -> Trial:
        """Return trial `number` once it waits for approval."""
        self.runner.until_waiting(number)
        return read_history(self.journal).in_flight[number]

    @property
    def journal(self) -> Path:
        return RunsFolder(self._folder / "runs").run("r").journal

    def said(self, *argv: str) -> str:
        """Return what a command prints, which succeeds."""
        done = self._command(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def resume(self) -> None:
        self.runner = Runner(self._folder, ["resume", "r"])

    def decide(self, number: int, *, is_approved: bool) -> None:
        self.said(*(["approve", f"r/{number}"] if is_approved else ["refuse", f"r/{number}", "--because", "too small"]))


@pytest.fixture
def person(tmp_path: Path, command: Command) -> Iterator[Person]:
    made = Person(tmp_path, command)
    yield made
    made.runner.process.kill()
    made.runner.process.wait()


@pytest.mark.slow
def test_a_person_decides_about_structures_and_numbers(person: Person) -> None:
    """The first trial of each kind is refused; one process ends while a tuning trial waits, and the next runs it."""
    seen: list[Trial] = []
    refused: dict[TurnKind, int] = {}
    stopped_at = None
    for number in range(1, N_TRIALS):
        trial = person.waiting(number)
        assert trial.proposal.turn is not None
        kind = trial.proposal.turn.kind
        shown = person.said("show", f"r/{number}")
        assert f"turn:          {kind.value}: " in shown
        assert f"nobody has decided yet: `agent approve r/{number}` or `agent refuse r/{number}`" in shown
        if kind is TurnKind.NUMBERS and kind in refused and stopped_at is None:
            assert "r: pauses once repeats that are due have ended; `agent resume r`" in person.said("pause", "r")
            assert person.runner.process.wait(timeout=600) == 0
            person.said("say", "r", "small steps")
            assert f"trial {number} waits for approval; `agent resume r` runs it once approved" in person.said(
                "log", "r"
            )
            person.decide(number, is_approved=True)
            person.resume()
            stopped_at = number
        else:
            person.decide(number, is_approved=kind in refused)
        refused.setdefault(kind, number)
        seen.append(trial)
    assert person.runner.process.wait(timeout=600) == 0, person.runner.said.read_text()
    trials = read_history(person.journal).trials
    assert [trial.proposal for trial in trials[1:]] == [trial.proposal for trial in seen]
    assert set(refused) == set(TurnKind)
    assert stopped_at is not None
    for trial in trials[1:]:
        assert trial.approval is not None
        assert (trial.status is Status.REFUSED) is (trial.number in refused.values())
    no = {trials[number].proposal.fingerprint for number in refused.values()}
    assert not any(trial.proposal.fingerprint in no for trial in trials if trial.number not in refused.values())
    tuned = {trial.proposal.turn.tunes for trial in trials if trial.proposal.turn is not None}
    assert refused[TurnKind.STRUCTURE] not in tuned
    document = json.loads(person.said("log", "r", "--json"))
    assert [turn["kind"] for turn in document["turns"]] == ["structure", "numbers"]
    assert sum(turn["trials"] for turn in document["turns"]) == N_TRIALS - 1
    read_by = document["messages"][0]["first_read_by"]
    later = [
        t.number for t in trials[stopped_at + 1 :] if t.proposal.turn and t.proposal.turn.kind is TurnKind.STRUCTURE
    ]
    assert read_by == (later[0] if later else None)
    person.said("log", "--verify", "r")


@pytest.mark.slow
def test_a_run_that_is_left_alone_refuses_both_kinds_and_ends(command: Command, tmp_path: Path) -> None:
    recording = tmp_path / "replies.jsonl"
    recording.write_text("".join(json.dumps({"reply": EDIT.format(n=n)}) + "\n" for n in range(40)))
    options = ["--model", f"replay:{recording}", "--trials", "8", "--approve", "--approve-within", "0.1s", "--json"]
    ended = command("run", "--task", str(INSTANT), "--mode", "centaur-code", "--name", "r", *options)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert [trial["status"] for trial in document["trials"]] == ["ok", *["refused"] * 7]
    assert {turn["kept"] for turn in document["turns"]} == {0}
    assert {turn["gain"] for turn in document["turns"]} == {0}
