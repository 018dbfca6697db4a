"""The verdict on a submission, read from the journal of its run. Losses are those that a proposer may see."""

from dataclasses import dataclass

from agent.modes.prompting.run_so_far import another_kind
from agent.modes.prompting.trial_digest import N_LATEST, Briefing, TrialDigest, quoted_log
from agent.modes.reported_trials import ReportedTrials, followed
from agent.run.ending import for_trials
from agent.run.steering.user_input import waiting_messages
from agent.server.documents import State, Verdict
from agent.store.run_config import budget_of, rule_of
from agent.store.stored_run import StoredRun
from agent.text import one_line, read_tail
from agent.trials.budget import Budget, Ledger
from agent.trials.keeping.stretch import stretch_without_gain
from agent.trials.repeat import Purpose
from agent.trials.steering import PersonMessage, Submission, SubmissionRefused
from agent.trials.trial import KeepState, Status, Trial

_MOST_TEXT = 500  # characters of a message or a reason
_N_MESSAGES = 5


@dataclass(frozen=True)
class LatestTrials:
    """What a client reads about the last trials, as fields of a Brief."""

    latest: tuple[str, ...] = ()
    stretch: str = ""
    tried_since: tuple[str, ...] = ()


def verdict_of(stored: StoredRun, submission: str) -> Verdict | None:
    """Return the verdict on a submission so far; None if the journal does not have it."""
    history = stored.history
    for trial in (*history.trials, *history.in_flight.values()):
        record = trial.proposal.submission
        if record is not None and record.id == submission:
            return _of_trial(stored, reported_trials(stored).trial(trial), record)
    refusal = next((each for each in history.run_events.refusals if each.id == submission), None)
    return None if refusal is None else _of_refusal(stored, refusal)


def reported_trials(stored: StoredRun) -> ReportedTrials:
    """Return the trials as a proposer sees them: with rounded losses, where the host compares with labels."""
    config = stored.config
    return followed(rule_of(config), stored.history.results, is_rounded=config.rounded)[1]


def value_of(stored: StoredRun, trial: Trial | None) -> float | None:
    """Return the metric's value of a trial as a proposer sees it; None without a loss."""
    loss = None if trial is None else reported_trials(stored).trial(trial).val_loss
    return None if loss is None else stored.metric.display(loss)


def latest_trials(stored: StoredRun | None, briefing: Briefing) -> LatestTrials:
    """Return what a client reads about the last trials of a run, and about a long stretch without a gain."""
    if stored is None:
        return LatestTrials()
    history, reported = stored.history, reported_trials(stored)
    trials = [reported.trial(trial) for trial in history.by_finish]
    digest = TrialDigest(briefing, trials, added=stored.added_lines)
    stretch = stretch_without_gain(trials, stored.keeper.sigma)
    return LatestTrials(
        tuple("\n".join(digest.described(trial)) for trial in trials[-N_LATEST:]),
        another_kind(stretch),
        tuple(digest.kinds_since(stretch.since)) if stretch.is_long else (),
    )


def all_messages(stored: StoredRun | None) -> list[PersonMessage]:
    """Return the messages from people to a run, oldest first, with those that are not journaled yet."""
    if stored is None:
        return []
    known = stored.history.run_events.messages
    return [*known, *waiting_messages(stored.paths, known, stored.history.n_started)]


def latest_messages(stored: StoredRun | None) -> tuple[str, ...]:
    """Return the texts of the last five messages from people, oldest first, one line each."""
    return tuple(one_line(message.text)[:_MOST_TEXT] for message in all_messages(stored)[-_N_MESSAGES:])


def budget_now(stored: StoredRun) -> Budget:
    """Return the run's budget, with the caps that were raised."""
    return budget_of(stored.config_now)


def spent_cap(stored: StoredRun) -> str | None:
    """Return which part of the budget is spent, so that no trial starts; None if none is, or trials are in flight."""
    history, config = stored.history, stored.config
    if history.in_flight or not history.trials:
        return None
    budget = for_trials(budget_now(stored), rule_of(config), config.final_runs, history.trials)
    return Ledger.of(history.results).spent(budget)


def _of_trial(stored: StoredRun, trial: Trial, record: Submission) -> Verdict:
    outcome, incumbent = trial.outcome, stored.history.incumbent
    is_due = _is_being_confirmed(stored, trial)
    has_failed = outcome is not None and outcome.val_loss is None
    return Verdict(
        submission=record.id,
        state=_state(trial, is_due=is_due),
        verdict=None if outcome is None else _verdict(trial),
        is_final=outcome is not None and not is_due,
        trial=trial.number,
        title=one_line(trial.proposal.title),
        status=outcome.status.value if outcome is not None else None,
        value=value_of(stored, trial),
        incumbent=incumbent.number if incumbent is not None else None,
        incumbent_value=value_of(stored, incumbent),
        reason=one_line(outcome.reason)[:_MOST_TEXT] if outcome is not None else "",
        log=quoted_log(read_tail(stored.paths.trial(trial.number).log)) if has_failed else "",
        seconds=outcome.wall_seconds if outcome is not None else None,
        client_trusted=record.is_client_trusted,
        budget_left=_left(stored),
        messages=latest_messages(stored),
    )


def _state(trial: Trial, *, is_due: bool) -> State:
    """Return the state of a submission that is a trial; `is_due`: a repeat will decide about it."""
    if trial.outcome is None:
        return "waits_for_approval" if trial.waits_for_approval else "running"
    return "confirming" if is_due else "finished"


def _verdict(trial: Trial) -> str:
    if trial.status is Status.REFUSED:
        return "refused"
    if trial.outcome is not None and trial.outcome.is_over_budget:
        return "over_budget"
    if trial.outcome is not None and trial.outcome.metric_edit:
        return "metric_edit"
    return trial.standing.value if trial.standing is not None else "failed"


def _of_refusal(stored: StoredRun, refusal: SubmissionRefused) -> Verdict:
    return Verdict(
        submission=refusal.id,
        state="refused",
        verdict="refused",
        is_final=True,
        title=one_line(refusal.title),
        status=refusal.status,
        reason=one_line(refusal.reason)[:_MOST_TEXT],
        log=quoted_log(refusal.log),
        budget_left=_left(stored),
        messages=latest_messages(stored),
    )


def _is_being_confirmed(stored: StoredRun, trial: Trial) -> bool:
    """Return whether the incumbent's gain will still be tested: a repeat runs, or is due and can run.

    That repeat may be of another trial: the noise is measured before a gain is tested.
    """
    history = stored.history
    repeating = history.repeating
    if trial.standing is not KeepState.PROVISIONAL:
        return False
    if history.incumbent is None or history.incumbent.number != trial.number:
        return repeating is not None and repeating.trial == trial.number
    if repeating is not None:
        return repeating.purpose is not Purpose.FINAL
    is_spent = Ledger.of(history.results).spent(budget_now(stored).of_time) is not None
    return not is_spent and stored.keeper.next_repeat() is not None


def _left(stored: StoredRun) -> str:
    return ledger_of(stored).left(budget_now(stored))


def ledger_of(stored: StoredRun) -> Ledger:
    """Return what the run has spent; trials in flight count as trials, and their time once they have ended."""
    return Ledger.of(stored.history.results).reserved(len(stored.history.in_flight), 0, 0.0, 0.0)
