"""Notices that trials keep crashing in the same way, and suggests constraints for the space where that would help."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from agent.edits.assignments import all_constants
from agent.edits.edit import Params
from agent.search.space import SearchSpace
from agent.text import one_line
from agent.trials.trial import Status, Trial

N_CRASHES = 3
"""Crashes with the same last line, or in a row, from which a run says so."""
_OF_SIZES = re.compile(
    r"divisib|divide|multiple of|AssertionError|shapes? .*(cannot|mismatch|invalid)|cannot be multiplied|size mismatch"
    r"|sizes of tensors must match|must match the size|broadcast|reshape|same (shape|size)|not equal to|% ",
    re.IGNORECASE,
)
"""Last lines of scripts in which two sizes do not fit each other."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MOST_CHARACTERS = 160


def crash_warning(trials: Sequence[Trial], space: SearchSpace | None, source: str) -> str | None:
    """Return a line for people if the last trial is the one by which a run must say that its trials crash; else None.

    Args:
        trials: all finished trials, in the order in which they finished.
        space: the searched space; None: there is none.
        source: the baseline's script, whose asserts become the suggestion.
    """
    executed = [trial for trial in trials if trial.status is not None and trial.status.ran]
    if not trials or not executed or executed[-1] is not trials[-1]:
        return None
    why = _notable(executed)
    if why is None or any(_notable(executed[:n]) for n in range(N_CRASHES, len(executed))):
        return None
    line, crashed = _line(executed[-1]), [trial for trial in executed if trial.status is Status.CRASHED]
    alike = [trial for trial in crashed if _kind(trial) == _kind(executed[-1])]
    alike = alike if len(alike) >= N_CRASHES else crashed
    warning = f"{why}: {one_line(line)[:_MOST_CHARACTERS]}"
    if space is None:
        return warning
    points = [trial.proposal.params for trial in alike[-N_CRASHES:] if trial.proposal.params is not None]
    if rules := _suggested(line, points, space, source):
        written = f"constraints = {json.dumps(rules)}"
        return f"{warning}; these points break a condition: for a new run, write into [space] of task.toml: {written}"
    if _OF_SIZES.search(line):
        return f"{warning}; if some names must fit each other, say so in [space] constraints: docs/tasks.md"
    return warning


def _notable(executed: Sequence[Trial]) -> str | None:
    """Return what the last trial makes notable, in words; None if nothing."""
    crashed = [trial for trial in executed if trial.status is Status.CRASHED]
    if not crashed or crashed[-1] is not executed[-1]:
        return None
    last = _kind(crashed[-1])
    if sum(_kind(trial) == last for trial in crashed) == N_CRASHES:
        return f"{N_CRASHES} trials crashed with the same last line"
    if len(executed) >= N_CRASHES and all(trial.status is Status.CRASHED for trial in executed[-N_CRASHES:]):
        return f"{N_CRASHES} trials in a row crashed, the last one"
    return None


def _line(trial: Trial) -> str:
    """Return the last line of a crashed script."""
    assert trial.outcome is not None
    return trial.outcome.reason.partition(": ")[2] or trial.outcome.reason


def _kind(trial: Trial) -> str:
    """Return the last line without its numbers, which are often the trial's own values."""
    return _NUMBER.sub("0", _line(trial))


def _suggested(line: str, points: Sequence[Params], space: SearchSpace, source: str) -> list[str]:
    """Return the space's constraints, and those that the script or the line suggest and no crashed point meets.

    Empty if there is no new one.
    """
    from agent.task.init.settings.conditions import conditions_in

    named = re.search(r"(\w+)\W+(?:must|should|has to|needs to) be (?:evenly )?divisible by\W+(\w+)", line)
    texts = [f"{named[1].upper()} % {named[2].upper()} == 0"] if named else []
    there = [constraint.text for constraint in space.constraints]
    constants = all_constants(source, any_case=True)
    new = []
    for text in conditions_in(source, space.names, texts):
        with suppress(ValueError):  # of a name whose choices are numbers and texts
            if text not in there and not any(space.constraint(text, constants).holds(point) for point in points):
                new.append(text)
    return [*there, *new] if new and points else []
