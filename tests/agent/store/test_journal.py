"""The journal: durable lines, torn tails, and what cannot be read."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits.assignments import Assignments
from agent.edits.edit import Unchanged, WholeFile
from agent.errors import JournalError
from agent.llm.model import ModelUsage
from agent.store.journal import Journal, read_events, read_history
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.hybrid.offer import Offer
from agent.trials.trial import Origin, Outcome, Proposal, Score, Status

AT = "2026-11-22T10:00:00+00:00"
BASELINE = Proposal(Origin.BASELINE, "baseline", Unchanged())
OK = Outcome(Status.OK, 1.5, kept=True)


def started(number: int, proposal: Proposal = BASELINE, parent: int | None = None) -> TrialStarted:
    return TrialStarted(number, parent, proposal, AT)


def finished(number: int, outcome: Outcome = OK) -> TrialFinished:
    return TrialFinished(number, outcome, AT)


texts = st.text(max_size=30)
losses = st.floats(allow_nan=False, allow_infinity=False)
proposals = st.builds(
    Proposal,
    origin=st.sampled_from(Origin),
    title=texts,
    edit=st.one_of(
        st.just(Unchanged()),
        st.builds(WholeFile, texts),
        st.builds(Assignments, st.dictionaries(texts, st.one_of(st.integers(), losses, texts), max_size=4)),
    ),
    params=st.none() | st.dictionaries(texts, st.one_of(st.integers(), losses, texts), min_size=1, max_size=4),
    copied_from=st.none() | texts,
    refused=st.none() | st.sampled_from([Status.DUPLICATE, Status.NO_PROPOSAL]),
    reason=texts,
    train_seed=st.integers(0, 9),
    offer=st.none()
    | st.builds(
        Offer,
        share=st.floats(0, 1),
        points=st.lists(st.dictionaries(texts, losses, min_size=1, max_size=3), max_size=2).map(tuple),
        predictions=st.lists(losses, max_size=2).map(tuple),
        host_prediction=st.none() | losses,
        taken=st.none() | st.integers(0, 3),
        fault=texts,
    ),
    usage=st.none() | st.builds(ModelUsage, texts, st.integers(0, 9), seconds=losses, dollars=st.none() | losses),
)
outcomes = st.one_of(
    st.builds(
        Outcome,
        status=st.just(Status.OK),
        val_loss=losses,
        kept=st.booleans(),
        score=st.none() | st.builds(Score, losses, texts, evidence=st.dictionaries(texts, losses, max_size=3)),
        unenforced=st.tuples(texts, texts),
    ),
    st.builds(
        Outcome,
        status=st.sampled_from([status for status in Status if status is not Status.OK]),
        val_loss=st.none(),
        reason=texts,
        cpu_seconds=st.none() | losses,
    ),
)


@given(proposals, outcomes)
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, proposal: Proposal, outcome: Outcome
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    events = [started(0, proposal), finished(0, outcome)]
    for event in events:
        journal.append(event)
    journal.close()
    assert list(read_events(path)) == events


def test_a_torn_last_line_is_dropped_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(started(0))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event":"trial_fin')
    assert [event.number for event in read_events(path)] == [0]
    reopened = Journal(path)
    assert reopened.dropped_bytes == 19
    reopened.append(finished(0))
    reopened.close()
    assert [type(event) for event in read_events(path)] == [TrialStarted, TrialFinished]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_every_cut_of_the_last_line_leaves_the_events_before(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(started(0))
    journal.append(finished(0))
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert Journal(path).dropped_bytes > 0
    assert list(read_events(path)) == [started(0)]


def test_a_torn_middle_line_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for event in (started(0), finished(0), started(1, parent=0)):
        journal.append(event)
    journal.close()
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:20]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match="line 2"):
        read_history(path)


def test_two_events_on_one_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for event in (started(0), finished(0), started(1, parent=0)):
        journal.append(event)
    journal.close()
    path.write_bytes(path.read_bytes().replace(b"\n", b"", 1))
    with pytest.raises(JournalError, match="line 1: not an event"):
        read_history(path)


def test_a_full_disk_takes_the_half_written_line_back(tmp_path: Path) -> None:
    # RLIMIT_FSIZE is a disk that is full at a chosen byte.
    path = tmp_path / "journal.jsonl"
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from agent.edits.edit import Unchanged\n"
        "from agent.errors import JournalError\n"
        "from agent.trials.events import TrialStarted\n"
        "from agent.store.journal import Journal\n"
        "from agent.trials.trial import Origin, Proposal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "event = TrialStarted(0, None, Proposal(Origin.BASELINE, 'baseline', Unchanged()), 'now')\n"
        "journal.append(event)\n"
        "size = Path(sys.argv[1]).stat().st_size\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, size + 30))\n"
        "try:\n    journal.append(event)\n"
        "except JournalError as error:\n    print('refused:', error)\n"
        "print(Path(sys.argv[1]).stat().st_size == size)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert "refused: cannot write to" in done.stdout
    assert done.stdout.endswith("True\n")


def test_a_loss_and_a_failure_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="status ok"):
        Outcome(Status.CRASHED, 1.0)
    with pytest.raises(ValueError, match="status ok"):
        Outcome(Status.OK, None)


def test_no_loss_that_is_not_a_number_is_ever_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        journal.append(finished(0, Outcome(Status.OK, float("nan"))))
    journal.close()
    assert (tmp_path / "journal.jsonl").read_bytes() == b""
