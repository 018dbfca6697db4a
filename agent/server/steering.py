"""Requests of a person to a run that another process works on. The commands and the live page call these functions."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.analysis.comparison import load
from agent.errors import AgentError, UsageError
from agent.modes.registry import find_mode
from agent.run.steering.approvals import decide
from agent.run.steering.user_input import PAUSE, SAY, discard_pause_requests, is_pause_requested
from agent.server.runner import CONSENT_VARIABLE, last_log_line, start_in_background
from agent.store.inbox.inbox import Inbox
from agent.store.paths import RunsFolder
from agent.store.run_lock import held_together, holder, stop_holder
from agent.store.stored_run import StoredRun
from agent.text import one_line, plural
from agent.trials.steering import message_text

STOP_SECONDS = 60.0
RESUME_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class SentRequest:
    """A request that was sent to a run, or to all runs that one process works on."""

    run_ids: tuple[str, ...]
    words: str  # what happens now, for the person
    open_by: int | None  # the process that works on the run
    message_id: str = ""
    has_reader: bool = False  # of a message: whether a model or a client reads it


def say(stored: StoredRun, text: str, resume: str) -> SentRequest:
    """Send a message to the proposer of a run.

    Args:
        resume: the command that continues the run, for the answer.

    Raises:
        UsageError: the message is empty or too long, or cannot be stored.
    """
    run_id, mode = stored.run_id, find_mode(stored.config.mode)
    message_id = Inbox(stored.paths.inbox).put(SAY, text=message_text(text))
    has_model, has_clients = mode is not None and mode.needs_model, mode is not None and mode.awaits_submissions
    pid = holder(stored.paths)
    when = "before the next proposal" if pid is not None else f"once `{resume}` proposes again"
    if has_model:
        words = f"{run_id}: the model reads it with its next proposal"
        words += "" if pid is not None else f", once `{resume}` continues the run"
    elif has_clients:
        words = f"{run_id}: clients read it with their next `agent brief`, and with each verdict"
    else:
        words = f"{run_id}: mode {stored.config.mode} asks no model, so no model reads it; it is recorded {when}"
    return SentRequest((run_id,), words, pid, message_id, has_model or has_clients)


def pause(runs: Sequence[StoredRun], name: str, resume: str) -> list[SentRequest]:
    """Pause runs once their trials in flight have ended.

    Args:
        name: of the run or comparison; resume: the command that continues it. Both are for messages.

    Raises:
        UsageError: no process works on any of them.
    """
    at_work = [(stored, holder(stored.paths)) for stored in runs]
    found = [(stored, pid) for stored, pid in at_work if pid is not None or _awaits_submissions(stored)]
    if not found:
        raise _nobody(name, resume)
    return [_pause(stored, pid, resume) for stored, pid in found]


def _pause(stored: StoredRun, pid: int | None, resume: str) -> SentRequest:
    is_requested = is_pause_requested(stored.paths)
    if not is_requested:
        Inbox(stored.paths.inbox).put(PAUSE)
    if pid is None:
        words = f"{stored.run_id}: paused; what clients submit waits until `{resume}` continues it"
        return SentRequest((stored.run_id,), words, pid)
    history = stored.history
    n_left = sum(not trial.waits_for_approval for trial in history.in_flight.values())
    n_left += history.repeating is not None
    in_flight = f"{plural(n_left, 'trial')} in flight and " if n_left else ""
    after = f"once {in_flight}repeats that are due have ended"
    again = "already " if is_requested else ""
    return SentRequest((stored.run_id,), f"{stored.run_id}: {again}pauses {after}; `{resume}` continues it", pid)


def stop(runs: Sequence[StoredRun], name: str, resume: str, option: str = "") -> Iterator[SentRequest]:
    """Stop the processes that work on these runs, and yield each when it has ended.

    A process that works on further runs, as that of a comparison does, stops these too, and the words say so.

    Args:
        name: of the run or comparison; resume: the command that continues it. Both are for messages.
        option: what commands need to find the runs, such as ` --runs DIR`.

    Raises:
        UsageError: no process works on any of them, or it belongs to another user or container.
        AgentError: a process has not ended within STOP_SECONDS.
    """
    stopped: dict[int, list[StoredRun]] = {}
    for stored in runs:
        pid = holder(stored.paths)
        if pid is not None:
            stopped.setdefault(pid, []).append(stored)
    if not stopped:
        raise _nobody(name, resume)
    for pid, those in stopped.items():
        run_ids = tuple(stored.run_id for stored in those)
        others = [each for each in held_together(those[0].runs, run_ids[0]) if each not in run_ids]
        paused = [stored for stored in those if _awaits_submissions(stored) and not is_pause_requested(stored.paths)]
        for stored in paused:  # a client that waits would start it again at once
            Inbox(stored.paths.inbox).put(PAUSE)
        try:
            has_ended = stop_holder(those[0].paths, STOP_SECONDS)
        except UsageError:  # no signal was sent, so it is not paused either
            for stored in paused:
                discard_pause_requests(stored.paths)
            raise
        if not has_ended:
            raise AgentError(
                f"process {pid}, which works on {run_ids[0]}, got the signal to stop, but has not ended within "
                f"{STOP_SECONDS:g} s; a second `agent stop` ends it without waiting for its jobs"
            )
        words = f"stopped process {pid}; `{resume}` continues {', '.join(run_ids)}"
        if others:
            words += f"; the process worked on {', '.join(others)} too, so they are stopped as well"
            if (comparison := comparison_with(those[0].runs, run_ids[0])) is not None:
                words += f": `agent compare --resume {comparison}{option}` continues all"
        yield SentRequest((*run_ids, *others), words, pid)


def comparison_with(runs: RunsFolder, run_id: str) -> str | None:
    """Return the name of the comparison that a run is part of; None if it is part of none that can be read."""
    for name in runs.comparison_ids():
        with suppress(AgentError, PermissionError):
            if any(run_id in names for names in load(runs, name).run_ids().values()):
                return name
    return None


def decide_trial(stored: StoredRun, number: int, resume: str, *, is_approved: bool, reason: str = "") -> SentRequest:
    """Approve or refuse a trial that waits for approval. Raises UsageError as `decide` does."""
    decide(stored, number, is_approved=is_approved, reason=reason)
    pid = holder(stored.paths)
    next_step = f"process {pid} acts on it" if pid is not None else (
        f"no process works on the run: `{resume}` continues it"
    )  # fmt: skip
    words = f"trial {number} of {stored.run_id} is {'approved' if is_approved else 'refused'}; {next_step}"
    return SentRequest((stored.run_id,), words, pid)


def resume_in_background(stored: StoredRun, variables: Mapping[str, str], resume: str) -> SentRequest:
    """Start `agent resume` for a run, in a process that outlives this one.

    Args:
        variables: the environment variables of the process, without the one that agrees to what a task runs: the
            person at the page has not seen what that is.
        resume: the command that does the same in a terminal, for messages.

    Raises:
        UsageError: a process works on the run already.
        AgentError: the command ended at once; the message has the last line that it printed.
    """
    paths, pid = stored.paths, holder(stored.paths)
    if pid is not None:
        raise UsageError(f"process {pid} works on {stored.run_id} already")
    own = {name: value for name, value in variables.items() if name != CONSENT_VARIABLE}
    process = start_in_background(paths, ["resume", stored.run_id, "--runs", str(stored.runs.root)], own)
    threading.Thread(target=process.wait, daemon=True).start()  # else its pid would name a dead process until we end
    deadline = time.monotonic() + RESUME_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if holder(paths) == process.pid:
            return SentRequest((stored.run_id,), f"process {process.pid} continues {stored.run_id}", process.pid)
        time.sleep(_POLL_SECONDS)
    if process.poll() is None:
        return SentRequest((stored.run_id,), f"process {process.pid} is preparing {stored.run_id}", process.pid)
    line = one_line(last_log_line(paths.runner_log)).removeprefix("error: ")
    if process.returncode:
        raise AgentError(f"{stored.run_id} cannot continue: {line}; `{resume}` in a terminal shows more")
    return SentRequest((stored.run_id,), f"{stored.run_id} has ended: {line}", None)


def _awaits_submissions(stored: StoredRun) -> bool:
    mode = find_mode(stored.config.mode)
    return mode is not None and mode.awaits_submissions


def _nobody(name: str, resume: str) -> UsageError:
    return UsageError(f"no process of this machine works on {name}; `{resume}` continues it")
