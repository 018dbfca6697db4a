"""What people add to a run: events that survive the journal, and that history accepts only where they belong."""

from pathlib import Path

import pytest

from agent.edits.edit import Unchanged
from agent.errors import JournalError
from agent.store.journal import Journal, read_history
from agent.trials.events import TrialApproval, TrialStarted
from agent.trials.history import History
from agent.trials.steering import Approval, BudgetRaised, PersonMessage, Submission, SubmissionRefused
from agent.trials.trial import Origin, Proposal

AT = "2026-11-30T06:00:00+00:00"


def _started(submission: Submission | None = None, *, needs_approval: bool = True) -> TrialStarted:
    return TrialStarted(
        0, None, Proposal(Origin.SUBMITTED, "try", Unchanged(), submission=submission), AT, None, needs_approval
    )


def test_run_events_and_approvals_survive_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    submission = Submission("a" * 12, source="train.py", base=0, ignored=("eval.py",), is_client_trusted=False)
    approval = Approval(is_approved=False, by="person", reason="too wide", at=AT)
    run_events = [
        PersonMessage(0, "b" * 12, "try rotary", AT),
        SubmissionRefused(1, "c" * 12, "copy", "duplicate", "the script of trial 0 again", "", AT),
        BudgetRaised(1, {"trials": 9.0}, AT),
    ]
    journal.append(_started(submission))
    for event in run_events:
        journal.append(event)
    journal.append(TrialApproval(0, approval))
    history = read_history(tmp_path / "journal.jsonl")
    assert history.run_events.all == run_events
    assert (history.run_events.messages, history.run_events.refusals, history.run_events.raises) == tuple(
        [one] for one in run_events
    )
    assert history.in_flight[0].approval == approval
    assert history.in_flight[0].proposal.submission == submission


def test_only_a_trial_that_waits_is_approved_and_only_once() -> None:
    history = History([])
    yes = TrialApproval(0, Approval(True, "person"))
    with pytest.raises(JournalError, match="did not wait"):
        history.add(yes)
    history.add(_started())
    history.add(yes)
    with pytest.raises(JournalError, match="did not wait"):
        history.add(yes)


def test_a_trial_that_needs_no_approval_gets_none() -> None:
    history = History([])
    history.add(_started(needs_approval=False))
    with pytest.raises(JournalError, match="did not wait"):
        history.add(TrialApproval(0, Approval(True, "person")))
