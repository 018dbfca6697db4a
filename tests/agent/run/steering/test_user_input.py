"""Notes, messages and pauses in the loop: read before each proposal, journaled once, and resumed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.errors import UsageError
from agent.execution.scoring.printed import PrintedScorer
from agent.modes.proposer import Context
from agent.run.ending import EndReason
from agent.run.loop import run_together, run_trials
from agent.run.open_run import Run
from agent.run.steering.user_input import PAUSE, SAY, discard_pause_requests, is_pause_requested, stored_notes
from agent.store.inbox.inbox import Inbox
from agent.store.journal import Journal, read_history
from agent.store.paths import RunPaths
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.history import History
from agent.trials.steering import MOST_CHARACTERS
from agent.trials.trial import Origin, Proposal
from sandbox.job import Execution, Job
from tests.agent.run.test_repeats import RULE, Sums

OpenRunWith = Callable[..., Run]


class Script:
    """Proposes SMOOTHING values in turn, as a model or not; does something at each call; remembers the contexts."""

    def __init__(self, *values: float, prompt: str | None = "hash", meanwhile: Callable[[int], None] = lambda _: None):
        self._values, self._prompt, self._meanwhile = values, prompt, meanwhile
        self.seen: list[Context] = []

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        self._meanwhile(context.number)
        value = self._values[context.number - 1]
        return Proposal(Origin.LLM, "an idea", Assignments({"SMOOTHING": value}), prompt=self._prompt)


class Interrupting(Sums):
    """Sums, and something that happens while a job runs."""

    def __init__(self, meanwhile: Callable[[str], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def run(self, job: Job) -> Execution:
        self._meanwhile(job.label)
        return super().run(job)


@pytest.fixture
def opened(open_run: OpenRunWith, bigram: Task, tmp_path: Path) -> OpenRunWith:
    folder = tmp_path / "task"
    shutil.copytree(bigram.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def opened_with(script: Script, n_trials: int, box: Sums | None = None, **more: object) -> Run:
        task = Task.load(folder)
        scorer = PrintedScorer(task.metric)
        return open_run(
            script, trials=n_trials, task=task, box=box or Sums(), scorer=scorer, **{"rule": RULE, **more}
        )  # fmt: skip

    return opened_with


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "runs" / "r" / "inbox")


def test_a_message_is_in_the_next_prompt_and_journaled_before_it(opened: OpenRunWith, inbox: Inbox) -> None:
    def meanwhile(number: int) -> None:
        if number == 1:
            inbox.put(SAY, text="while it thinks\n about trial 1")

    script = Script(19.0, 18.9, 18.8, meanwhile=meanwhile)
    run = opened(script, 4)
    first = inbox.put(SAY, text="at first")
    run_trials(run)
    assert [[message.text for message in context.messages] for context in script.seen] == [
        ["at first"],
        ["at first", "while it thinks\nabout trial 1"],
        ["at first", "while it thinks\nabout trial 1"],
    ]
    assert list(inbox.messages(SAY)) == []
    history = read_history(run.paths.journal)
    assert [(message.number, message.id == first) for message in history.run_events.messages] == [(1, True), (2, False)]
    assert [trial.proposal.n_messages for trial in history.trials] == [0, 1, 2, 2]
    assert run.observer.calls.count(("recorded", 1)) == 1  # type: ignore[attr-defined]


def test_who_asks_no_model_reads_nothing(opened: OpenRunWith, inbox: Inbox) -> None:
    run = opened(Script(19.0, prompt=None), 2)
    inbox.put(SAY, text="hello")
    run_trials(run)
    assert len(run.history.run_events.messages) == 1
    assert run.history.trials[1].proposal.n_messages == 0


def test_a_message_that_no_command_of_ours_wrote_is_left_alone(opened: OpenRunWith, inbox: Inbox) -> None:
    run = opened(Script(19.0), 2)
    inbox.put(SAY, text="x" * (MOST_CHARACTERS + 1))
    inbox.put(SAY, words="no text")
    run_trials(run)
    assert run.history.run_events.messages == []


def test_a_journaled_message_that_is_still_in_the_inbox_is_not_read_twice(opened: OpenRunWith, inbox: Inbox) -> None:
    run = opened(Script(19.0, 18.9), 2)
    inbox.put(SAY, text="once")
    files = {path: path.read_bytes() for path in run.paths.inbox.iterdir()}
    run_trials(run)
    for path, content in files.items():  # as if the process had died before it removed them
        path.write_bytes(content)
    script = Script(19.0, 18.9)
    resumed = opened(script, 3)
    run_trials(resumed)
    assert [message.text for message in script.seen[0].messages] == ["once"]
    assert len(read_history(resumed.paths.journal).run_events.messages) == 1
    assert list(resumed.paths.inbox.iterdir()) == []


def test_notes_are_read_at_each_proposal_and_kept_once(opened: OpenRunWith, tmp_path: Path) -> None:
    notes = tmp_path / "task" / "notes.md"
    texts = ["", "wider", "wider", "deeper", ""]

    def meanwhile(number: int) -> None:
        notes.write_text(texts[number])
        if not texts[number]:
            notes.unlink()

    script = Script(19.0, 18.9, 18.8, 18.7, meanwhile=meanwhile)
    run = opened(script, 5)
    run_trials(run)
    assert [context.notes for context in script.seen] == texts[:4]
    hashes = [trial.proposal.notes for trial in run.history.trials]
    assert hashes[:2] == [None, None]
    assert hashes[2] == hashes[3] != hashes[4]
    assert stored_notes(run.paths, hashes[4]).text == "deeper"
    assert len(list((run.paths.root / "notes").iterdir())) == 2
    run.paths.notes(str(hashes[4])).write_text("another")
    with pytest.raises(UsageError, match="is missing or was changed"):
        stored_notes(run.paths, hashes[4])


def test_notes_that_become_unreadable_stay_as_they_were_and_the_run_goes_on(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    notes = tmp_path / "task" / "notes.md"
    notes.write_text("readable")

    def meanwhile(number: int) -> None:
        if number == 1:
            notes.write_bytes(b"\xff\xfe")
        if number == 2:
            notes.write_text("again")

    script = Script(19.0, 18.9, 18.8, meanwhile=meanwhile)
    run = opened(script, 4)
    assert run_trials(run).ending is EndReason.DONE
    assert [context.notes for context in script.seen] == ["readable", "readable", "again"]
    (warning,) = run.observer.warnings  # type: ignore[attr-defined]
    assert "notes.md is not UTF-8 text (byte 0); save it as UTF-8; the next proposal reads the notes" in warning


def test_a_pause_ends_what_is_in_flight_runs_due_repeats_and_goes_on_later(
    opened: OpenRunWith, inbox: Inbox, tmp_path: Path
) -> None:
    def meanwhile(label: str) -> None:
        if label == "r/0001/train":
            inbox.put(PAUSE)
            inbox.put(PAUSE)

    box = Interrupting(meanwhile)
    end = run_trials(opened(Script(18.0, 18.9), 3, box, final_runs=1))
    assert (end.ending, "agent pause" in end.reason) == (EndReason.PAUSED, True)
    assert box.labels == [f"r/{name}/train" for name in ("0000", "0001", "0000/seed-1", "0001/seed-1")]
    discard_pause_requests(RunPaths(tmp_path / "runs" / "r"))  # as `agent resume` does
    box = Sums()
    assert run_trials(opened(Script(18.0, 18.9), 3, box, final_runs=1)).ending is EndReason.DONE
    assert box.labels == ["r/0002/train", "r/0001/seed-100/train"]


def test_a_pause_in_the_last_trial_leaves_the_final_runs(opened: OpenRunWith, inbox: Inbox) -> None:
    def meanwhile(label: str) -> None:
        if label == "r/0001/train":
            inbox.put(PAUSE)

    box = Interrupting(meanwhile)
    run = opened(Script(18.0), 2, box, final_runs=1)
    assert run_trials(run).ending is EndReason.PAUSED
    assert is_pause_requested(run.paths)
    discard_pause_requests(run.paths)  # as `agent resume` does
    box = Sums()
    assert run_trials(opened(Script(18.0), 2, box, final_runs=1)).ending is EndReason.DONE
    assert box.labels == ["r/0001/seed-100/train"]


def test_a_run_that_has_nothing_left_is_done_and_not_paused(opened: OpenRunWith, inbox: Inbox) -> None:
    box = Interrupting(lambda label: None if label != "r/0001/train" else inbox.put(PAUSE) and None)
    run = opened(Script(19.99), 2, box)
    run.policy.budget = Budget(trials=2)
    assert run_trials(run).ending is EndReason.DONE
    assert not is_pause_requested(run.paths)


def test_a_proposal_that_waits_is_run_after_the_pause_and_not_asked_for_again(
    opened: OpenRunWith, inbox: Inbox
) -> None:
    def meanwhile(number: int) -> None:
        if number == 2:  # asked for while trial 1 runs
            inbox.put(PAUSE)

    script = Script(19.99, 19.98, 19.97, meanwhile=meanwhile)
    run = opened(script, 4, queue=1)
    assert run_trials(run).ending is EndReason.PAUSED
    finished = {trial.number for trial in run.history.trials}
    assert finished | run.history.in_flight.keys() == {0, 1, 2}
    n_asked = len(script.seen)
    assert n_asked == 2
    discard_pause_requests(run.paths)  # as `agent resume` does
    resumed = opened(script, 4, queue=1)
    assert run_trials(resumed).ending is EndReason.DONE
    assert [context.number for context in script.seen[n_asked:]] == [3]
    assert sorted(trial.number for trial in resumed.history.trials) == [0, 1, 2, 3]


def test_requests_are_discarded_without_messages(opened: OpenRunWith, inbox: Inbox) -> None:
    run = opened(Script(), 1)
    inbox.put(PAUSE)
    inbox.put(SAY, text="stays")
    discard_pause_requests(run.paths)
    assert not is_pause_requested(run.paths)
    assert len(list(inbox.messages(SAY))) == 1


def test_runs_that_would_wait_for_the_baseline_of_a_paused_one_pause_too(opened: OpenRunWith) -> None:
    """Otherwise `agent compare` would wait for ever."""
    first, second = opened(Script(19.0), 2), opened(Script(19.0), 2)
    paths = RunPaths(first.paths.root.with_name("s"))
    paths.root.mkdir()
    own = replace(second.records, run_id="s", paths=paths, journal=Journal(paths.journal), history=History([]))
    second.records = own
    Inbox(paths.inbox).put(PAUSE)
    ends = run_together([first, second], all_begun=lambda: pytest.fail("the second has no baseline"))
    own.journal.close()
    assert {name: end.ending for name, end in ends.items()} == {"r": EndReason.PAUSED, "s": EndReason.PAUSED}
    assert len(first.history.trials) <= 1
    assert second.history.n_started == 0
