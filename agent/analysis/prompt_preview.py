"""The prompt for a trial, rebuilt from the journal and the commits without calling a model."""

from collections.abc import Sequence
from pathlib import Path

from agent.errors import UsageError
from agent.llm.model import Completion, Message, Schema
from agent.modes.mode import searched
from agent.modes.model_choice import context_tokens_of, needs_model
from agent.modes.proposer import Context, seen_by
from agent.modes.registry import build_proposer
from agent.modes.reported_trials import followed
from agent.run.ending import with_reserved
from agent.run.resume import at_trial
from agent.run.steering.user_input import stored_notes, waiting_messages
from agent.store.journal import read_history
from agent.store.run_config import budget_of, retired, rule_of
from agent.store.stored_run import StoredRun
from agent.task.notes import read_notes
from agent.task.task import Task
from agent.trials.budget import Ledger
from agent.trials.history import History
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial


class _PromptStoredError(Exception):
    """Ends a proposal at its first call of the model."""


class _PromptStore:
    """A model that stores its prompt, and gives no answer."""

    name = "preview"

    def __init__(self, context_tokens: int) -> None:
        self.context_tokens = context_tokens
        self.messages: list[Message] = []

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        self.messages = list(messages)
        raise _PromptStoredError

    def close(self) -> None:
        pass


def preview_messages(stored: StoredRun, number: int, api_key: str | None) -> list[Message]:
    """Return the first messages to the model for trial `number` of a run, past or next.

    Raises:
        UsageError: no model is called for that trial, the task has changed since the run started, or the notes that
            the proposer read are missing.
    """
    config = stored.config
    if config.agent is None and not needs_model(config):
        raise UsageError(f"{stored.run_id} has no prompts: mode {config.mode} calls no model")
    if not 1 <= number <= stored.history.n_started:
        raise UsageError(f"{stored.run_id} has prompts for trials 1 to {stored.history.n_started} only")
    if config.agent is not None:
        folder = stored.paths.trial(number).agent
        raise UsageError(
            f"a coding agent writes the trials of {stored.run_id}: what it was asked is in {folder}, in settings.json "
            "and files/NOTES.md, once it has begun"
        )
    if why := retired(stored.paths.run_json):
        raise UsageError(
            f"the prompts of {stored.run_id} cannot be rebuilt: it has {why}; "
            f"`agent show {stored.run_id}/{number} --exchange` prints the recorded prompt"
        )
    task = Task.load(Path(config.task_folder), config.profile)
    if task.digest != config.task_digest:
        raise UsageError(f"the task in {config.task_folder} has changed since {stored.run_id} began; restore it")
    before = read_history(stored.paths.journal, before=number)
    own = stored.trial(number) if number < stored.history.n_started else None
    incumbent = before.incumbent if own is None or own.parent is None else before.trial(own.parent)
    assert incumbent is not None, "a run without a baseline asks nothing"
    finished, pending = seen_by(before, number, own.n_seen if own is not None else None)
    results = _results_of(before, len(finished))
    keeper, reported = followed(rule_of(config), results, is_rounded=config.rounded)
    n_repeats = int(before.repeating is not None)
    ledger = with_reserved(Ledger.of(results), task, before, len(pending), n_repeats)
    config = at_trial(config, stored.history, number)
    messages = before.run_events.messages
    if own is None:
        notes = read_notes(task)
        messages = [*messages, *waiting_messages(stored.paths, messages, number)]
    else:
        notes = stored_notes(stored.paths, own.proposal.notes)
    context = Context(
        number=number,
        source=stored.repo.read(f"{stored.run_id}/{incumbent.number:04d}")[task.script].decode(),
        baseline_source=task.source,
        incumbent=reported.trial(incumbent),
        trials=tuple(reported.trial(trial) for trial in finished),
        space=searched(config, task),
        budget_left=ledger.left(budget_of(config)),
        pending=pending,
        notes=notes.text,
        messages=messages,
        sigma=keeper.sigma,
    )
    model = _PromptStore(context_tokens_of(config, api_key))
    try:
        build_proposer(config, task, model, stored.paths, api_key).propose(context)
    except _PromptStoredError:  # there is no reply yet, so nothing was written into the run
        return model.messages
    raise UsageError(f"no model is called for trial {number} of {stored.run_id}: the searcher or a repair decides it")


def _results_of(history: History, n_trials: int) -> list[Trial | Repeat]:
    """Return the results before the one that follows the first `n_trials` trials, repeats included."""
    results: list[Trial | Repeat] = []
    for result in history.results:
        if isinstance(result, Trial):
            if not n_trials:
                break
            n_trials -= 1
        results.append(result)
    return results
