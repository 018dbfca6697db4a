"""The numeric modes: a searcher, replayed from the journal, whose point is written into the script."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params
from agent.edits.guard import fingerprint
from agent.modes.mode import ModeInputs, search_space, search_start
from agent.modes.prompting.space_text import changes, params_of
from agent.modes.proposer import Context
from agent.modes.searchers import build_searcher, host_named
from agent.search.cmaes import CMAESearcher, CMAState
from agent.search.memory_model import MemoryEstimate, MemoryEstimator
from agent.search.searcher import HintedSearcher, HostSearcher, Searcher
from agent.search.space import SearchSpace
from agent.store.run_config import RunConfig
from agent.task.task import Task
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

OF_A_SEARCH = (Origin.SEARCHER, Origin.LLM, Origin.ECHO)  # each of these trials was one `ask`
MAX_SKIPPED = 100  # points in a row that have run before or will not fit, after which the proposal is refused
MAX_HOPELESS_REPORTS = 20  # points that will not fit, reported as failures since a trial ran; 5 in the replayed paper


class NumericProposer:
    """Proposes the points of `searcher`. It needs a task with a search space."""

    def __init__(self, searcher: Searcher, memory: MemoryEstimator | None = None) -> None:
        """`searcher` and `memory`: new; the journal is replayed to them."""
        self._replay = SearcherReplay(searcher, memory)

    def propose(self, context: Context) -> Proposal:
        assert context.space is not None, "a mode with a searcher needs a search space"
        found = self._replay.find(context)
        point, edit = found.point, Assignments(found.point)
        return Proposal(
            origin=Origin.SEARCHER,
            title=changes(context.space, read_constants(context.source, list(point)), point),
            edit=edit,
            params=point,
            refused=found.refused,
            reason=found.reason,
            fingerprint=fingerprint(edit.apply(context.source)),
        )

    def estimate(self, params: Params) -> MemoryEstimate | None:
        """Return the memory that `params` need, estimated at the last proposal; None if there is no estimate."""
        return self._replay.estimate(params)


def build_searching(inputs: ModeInputs) -> NumericProposer:
    """Return the proposer of a mode that is only a searcher."""
    config, task = inputs.config, inputs.task
    searcher = build_searcher(config.mode, search_space(config, task), search_start(config, task), config.seed)
    return _around(searcher, config, task)


def cma_host(config: RunConfig, task: Task) -> tuple[NumericProposer, Callable[[], CMAState]]:
    """Return the proposer around the CMA-ES of a run, and a function that returns its state.

    A hybrid mode asks it for every point, and a report replays it.
    """
    searcher = CMAESearcher(search_space(config, task), search_start(config, task), config.seed)
    return _around(searcher, config, task), searcher.state


@dataclass(frozen=True)
class SearchHost:
    """A searcher whose points a hybrid mode may replace, with its predictions for other points."""

    name: str  # for a prompt, such as "CMA-ES"
    proposer: NumericProposer
    predict: Callable[[Sequence[Params]], Sequence[float] | None]  # as `HostSearcher.predict`
    state: Callable[[], CMAState | None] = lambda: None  # None: the searcher has no distribution to show


def build_host(config: RunConfig, task: Task) -> SearchHost:
    """Return the host of a hybrid mode. Raises UsageError if the run names a searcher that cannot be one."""
    title = host_named(config.host).host_title
    assert title is not None, "host_named returns only hosts"
    searcher = build_searcher(config.host, search_space(config, task), search_start(config, task), config.seed)
    return host_of(title, searcher, _around(searcher, config, task))


def host_of(title: str, searcher: Searcher, proposer: NumericProposer) -> SearchHost:
    """Return a host around a searcher that can be one."""
    assert isinstance(searcher, HostSearcher), "the row of this searcher says that it can be a host"
    return SearchHost(
        title, proposer, searcher.predict, searcher.state if isinstance(searcher, CMAESearcher) else lambda: None
    )


def _around(searcher: Searcher, config: RunConfig, task: Task) -> NumericProposer:
    """Return the proposer around a searcher, with a memory model and hints if the task declares them."""
    if config.hints:
        searcher = HintedSearcher(searcher, search_start(config, task))
    return NumericProposer(searcher, task.memory_model())


@dataclass(frozen=True)
class CheckedPoint:
    """The point that a searcher proposes and, if it must not run, the reason."""

    point: Params
    refused: Status | None = None
    reason: str = ""


class SearcherReplay:
    """Replays the journal to a searcher, by its verbs ask and tell; rebuilt, it reaches the same state.

    Each point is asked for after as many reports as its proposer had seen, and reports follow in the order in which
    trials finished. A point that is in flight already, or that a person refused, is discarded, and the searcher is
    asked for another.

    For a point that has run before, the searcher gets the known loss at once and is asked for another point: a second
    run would only draw the noise again. A point that will surely not fit in memory is reported as failed, up to a
    limit: CMA-ES would shrink to nothing on failures that never ran. Beyond it such points are discarded. Once no point
    of a space of levels is left, the searcher is asked no more. A resumed run meets the same points at the same trials,
    and searches once for each trial.
    """

    def __init__(
        self,
        searcher: Searcher,
        memory: MemoryEstimator | None = None,
        is_repeated: Callable[[int, Params], bool] = lambda _number, _point: False,
    ) -> None:
        """Prepare.

        Args:
            searcher: a new one, which learns from the journal; `memory` too.
            is_repeated: whether other trials, which the context lacks, have run the script that the trial of this
                number would run with this point.
        """
        self._searcher = searcher
        self._is_repeated = is_repeated
        self._experience = TriedConfigurations(memory)
        self._n_replayed = 0  # trials whose points have been asked for
        self._n_reported = 0  # of the context's finished trials
        self._n_hopeless_reports = 0  # since a trial ran
        self._points: dict[int, CheckedPoint] = {}  # of trials that have not been reported, by number
        self._running: dict[int, frozenset[tuple[str, object]]] = {}  # configurations in flight, by trial
        self._unwanted: set[frozenset[tuple[str, object]]] = set()  # configurations that a person refused

    def find(self, context: Context) -> CheckedPoint:
        """Return the searcher's point for the next trial: one that is new and may fit in memory, or a refused one."""
        known = {trial.number: trial for trial in (*context.trials, *context.pending)}
        for number in range(self._n_replayed, context.number):
            trial = known[number]
            self._report(context, number if trial.n_seen is None else trial.n_seen)
            self._follow(trial, context)
        self._n_replayed = context.number
        self._report(context, len(context.trials))
        return self._found(context.number, context.space)

    def estimate(self, params: Params) -> MemoryEstimate | None:
        """Return the memory that `params` will need; None while there is no estimate."""
        return self._experience.estimate(params)

    def _follow(self, trial: Trial, context: Context) -> None:
        """Ask for the point of a trial that has been proposed, as when it was proposed."""
        if trial.proposal.origin in OF_A_SEARCH:
            self._found(trial.number, context.space)
        if trial.proposal.refused is None and (params := params_of(trial, context)) is not None:
            self._running[trial.number] = _key(params)

    def _report(self, context: Context, n_finished: int) -> None:
        """Report the trials of the context to the searcher, up to the first `n_finished`."""
        for trial in context.trials[self._n_reported : n_finished]:
            self._tell(trial, context)
        self._n_reported = max(self._n_reported, n_finished)

    def _tell(self, trial: Trial, context: Context) -> None:
        assert trial.outcome is not None, "a context holds finished trials"
        params, loss, has_run = params_of(trial, context), trial.val_loss, trial.outcome.status.ran
        if trial.is_vetoed and params is not None:
            self._unwanted.add(_key(params))
        if trial.proposal.origin in OF_A_SEARCH:
            found = self._points.pop(trial.number)
            if has_run and params is not None and _is_offered_point(trial):
                assert isinstance(self._searcher, HostSearcher), "only the host of a hybrid mode gets offers"
                self._searcher.learn(trial.number, params, loss)
            elif has_run and params is not None:
                self._searcher.tell(trial.number, params, loss)
            elif found.refused is None and trial.is_vetoed and params == found.point:
                self._searcher.discard(trial.number)
            elif found.refused is None:
                self._searcher.release(trial.number)
        elif trial.number == 0 and params is not None:
            self._searcher.tell(0, params, loss)
        if has_run:
            self._n_hopeless_reports = 0
        self._running.pop(trial.number, None)
        self._experience.observe(trial, context)

    def _found(self, number: int, space: SearchSpace | None) -> CheckedPoint:
        """Return the point for `number`. It is searched for once: a second search would use up more points."""
        if number not in self._points:
            self._points[number] = self._look(number, space)
        return self._points[number]

    def _look(self, number: int, space: SearchSpace | None) -> CheckedPoint:
        n_skipped = n_hopeless = 0
        while n_skipped < MAX_SKIPPED:
            point = self._searcher.ask(number)
            if self._is_unwanted(number, point):
                self._searcher.discard(number)
            elif self._experience.has_run(point):
                self._searcher.tell(number, point, self._experience.loss(point))
            elif (estimate := self._experience.estimate(point)) is not None and estimate.hopeless:
                self._skip_hopeless(number, point)
                n_hopeless += 1
            else:
                return CheckedPoint(point)
            n_skipped += 1
            if n_skipped == 1 and space is not None and self._is_used_up(number, space):
                break
        states = ["have run before", *["are running"] * bool(self._running), *["are refused"] * bool(self._unwanted)]
        known = " or ".join(states)
        if n_skipped < MAX_SKIPPED:
            return CheckedPoint(point, Status.DUPLICATE, f"no point of the search space is left: all {known}")
        why = {0: known, MAX_SKIPPED: "will not fit in memory"}
        both = f"{known} ({MAX_SKIPPED - n_hopeless}) or will not fit in memory ({n_hopeless})"
        reason = f"the searcher proposed {MAX_SKIPPED} points in a row that {why.get(n_hopeless, both)}"
        return CheckedPoint(point, Status.NO_PROPOSAL if n_hopeless else Status.DUPLICATE, reason)

    def _is_unwanted(self, number: int, point: Params) -> bool:
        """Return whether a point is in flight, was refused by a person, or is the script of another trial."""
        key = _key(point)
        return key in self._running.values() or key in self._unwanted or self._is_repeated(number, point)

    def _is_used_up(self, number: int, space: SearchSpace) -> bool:
        """Return whether no point is left. The time grows with the number of known points, not of all points."""
        n_points = 0
        for point in space.all_points():
            if not self._experience.has_run(point) and not self._is_unwanted(number, point):
                return False
            n_points += 1
        return n_points > 0

    def _skip_hopeless(self, number: int, point: Params) -> None:
        if self._n_hopeless_reports < MAX_HOPELESS_REPORTS:
            self._searcher.tell(number, point, None)
            self._n_hopeless_reports += 1
        else:
            self._searcher.discard(number)


class TriedConfigurations:
    """The configurations that have run and a memory model: what need not run again, and what cannot fit."""

    def __init__(self, memory: MemoryEstimator | None = None) -> None:
        """`memory`: a new model; None: the task declares none."""
        self._memory = memory
        self._losses: dict[frozenset[tuple[str, object]], float | None] = {}  # by configuration, of the first run

    def observe(self, trial: Trial, context: Context) -> None:
        """Take a finished trial; one that never ran is ignored."""
        assert trial.outcome is not None, "a context holds finished trials"
        params = params_of(trial, context)
        if trial.outcome.status.ran and params is not None:
            self._losses.setdefault(_key(params), trial.val_loss)
            self._learn_memory(params, trial.outcome)

    def has_run(self, params: Params) -> bool:
        """Whether a trial has been executed with exactly these values."""
        return _key(params) in self._losses

    def loss(self, params: Params) -> float | None:
        """Return the loss of the first trial with these values; None: it failed. Raises KeyError if there is none."""
        return self._losses[_key(params)]

    def estimate(self, params: Params) -> MemoryEstimate | None:
        """Return the memory that `params` will need; None while there is no estimate."""
        return self._memory.estimate(params) if self._memory is not None else None

    def _learn_memory(self, params: Params, outcome: Outcome) -> None:
        peak_gb = outcome.peak_vram_gb if outcome.peak_vram_gb is not None else outcome.peak_memory_gb
        if self._memory is None:
            return
        if outcome.status is Status.OUT_OF_MEMORY:
            self._memory.observe(params, None)
        elif outcome.status in (Status.OK, Status.PRUNED) and peak_gb is not None:
            self._memory.observe(params, peak_gb)


def _is_offered_point(trial: Trial) -> bool:
    """Whether a point that a model offered ran before the searcher's own.

    In earlier versions, without offers, the searcher learned every answer in the place of its own point.
    """
    proposal = trial.proposal
    return proposal.offer is not None and proposal.offer.taken is not None and proposal.copied_from != "searcher"


def _key(params: Params) -> frozenset[tuple[str, object]]:
    return frozenset(params.items())
