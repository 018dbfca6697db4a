"""Which names of a search space move anything: each is changed alone, for a short training, within the time left."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agent.analysis.try_script.lengths import Length
from agent.analysis.try_script.log_numbers import Printed, Repeatable
from agent.analysis.try_script.tries import Tries
from agent.edits.edit import Params, Value
from agent.execution.observing.observed_run import ObservedRun
from agent.search.parameters import Parameter
from agent.search.space import SearchSpace
from agent.text import plural

# On each axis: near both ends, the lower first, which is mostly the cheaper. The rest is for constraints.
_PLACES = (0.02, 0.98, 0.5, *(n / 32 for n in range(33)))


@dataclass(frozen=True)
class Effects:
    """The names of a space by what a change of their value did."""

    moves: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()  # nothing that the whole training prints changes with their value
    without_effect: tuple[str, ...] = ()  # nothing changed in the short training; the whole was too long to try
    untried: tuple[str, ...] = ()  # the time was over
    crashes: tuple[tuple[str, str], ...] = ()  # `WIDTH = 96`, and the last line of its log

    def lines(self, length: Length) -> list[str]:
        """Return what was seen, for people."""
        found = []
        if self.dead:
            found.append(f"left out of the space, since they change nothing that is printed: {', '.join(self.dead)}")
        if self.without_effect:
            names = ", ".join(self.without_effect)
            found.append(f"without effect in {length.text}, and still searched: {names}")
        if self.untried:
            found.append(f"not tried, as the time was over: {', '.join(self.untried)} (--try-budget 30m)")
        if self.moves:
            found.append(f"{plural(len(self.moves), 'name')} of the space changed the result: {', '.join(self.moves)}")
        found += [f"{value} crashes: {why}" for value, why in self.crashes]
        return found


@dataclass(frozen=True)
class Reference:
    """Runs with the script's own values, with which the others are compared."""

    length: Length  # the short training
    whole: Length
    first: ObservedRun  # of the short training
    repeatable: Repeatable  # the numbers in which two such runs agree


def find_effects(tries: Tries, space: SearchSpace, defaults: Params, reference: Reference) -> Effects:
    """Return which names of a space move anything that the script prints.

    A name is dead if two other values change nothing in a short training, and all such names together change nothing in
    a whole one; otherwise it stays in the space. A line that prints the value itself does not count. Values that break
    a constraint of the space are not tried.

    Args:
        tries: runs the script.
        space: the names.
        defaults: their values in the script.
        reference: the runs with these values.
    """
    length, first = reference.length, reference.first
    moves: list[str] = []
    still: dict[str, Value] = {}
    untried: list[str] = []
    crashes: list[tuple[str, str]] = []
    for parameter in space.parameters:
        name = parameter.name
        others = other_values(parameter, defaults[name], partial(_is_feasible, space, defaults, name))
        if not others:
            continue
        is_moved = False
        for value in others:
            if tries.left < 2 * first.seconds:
                untried.append(name)
                break
            run = tries.run(length, values={name: value})
            if run.failed is not None and not run.is_cut_short:
                crashes.append((f"{name} = {value!r}", run.failed[1]))
            is_moved = _is_moved(run, first, reference.repeatable, {name: (defaults[name], value)})
            if is_moved:
                break
        if is_moved:
            moves.append(name)
        elif name not in untried:
            still[name] = others[0]
    dead: list[str] = []
    if still and length.is_whole:
        dead = [*still]
    elif still and tries.left > 3 * first.seconds / length.share:
        dead, late = _in_the_whole(tries, reference.whole, still, defaults)
        moves += late
    without = tuple(name for name in still if name not in (*dead, *moves))
    return Effects(tuple(moves), tuple(dead), without, tuple(untried), tuple(crashes))


def other_values(
    parameter: Parameter, own: Value, is_allowed: Callable[[Value], bool] = lambda _value: True
) -> list[Value]:
    """Return up to two allowed values of a parameter that differ from the script's own and from each other."""
    found: list[Value] = []
    choices = getattr(parameter, "choices", None)
    values = list(choices) if parameter.kind == "categorical" and choices else []
    values = values or [parameter.decode(place) for place in _PLACES]
    for value in values:
        if value != own and value not in found and is_allowed(value):
            found.append(value)
    return found[:2]


def _is_feasible(space: SearchSpace, defaults: Params, name: str, value: Value) -> bool:
    """Return whether the space's constraints allow the script's values with another one of `name`."""
    return space.meets_constraints({**defaults, name: value})


def _in_the_whole(tries: Tries, whole: Length, still: Params, defaults: Params) -> tuple[list[str], list[str]]:
    """Return the names that change nothing in a whole training, and those that do.

    All are changed together first and, if that changes something, each alone. Names that the time does not suffice for
    are in neither list.
    """
    first, again = tries.run(whole), tries.run(whole)
    repeatable = Repeatable.of(Printed.of(first.log), Printed.of(again.log))
    if first.failed is not None or again.failed is not None or repeatable is None:
        return [], []

    def is_dead(values: Params) -> bool:
        run = tries.run(whole, values=values)
        pairs = {name: (defaults[name], value) for name, value in values.items()}
        return not _is_moved(run, first, repeatable, pairs)

    if is_dead(still):
        return [*still], []
    if len(still) == 1:
        return [], [*still]
    dead: list[str] = []
    alive: list[str] = []
    for name, value in still.items():
        if tries.left > 2 * first.seconds:
            (dead if is_dead({name: value}) else alive).append(name)
    return dead, alive


def _is_moved(
    run: ObservedRun, first: ObservedRun, repeatable: Repeatable, changed: dict[str, tuple[Value, Value]]
) -> bool:
    """Return whether a run with changed values ended otherwise, or printed another metric or other numbers."""
    if run.failed is not None or run.score != first.score:
        return True
    return repeatable.differs(Printed.of(run.log), changed)
