"""What a search takes from its searcher follows from the journal alone, also where it finds nothing that can run."""

from collections.abc import Callable

import pytest

from agent.edits.edit import Params, Unchanged
from agent.modes.numeric import MAX_HOPELESS_REPORTS, NumericProposer, SearcherReplay
from agent.modes.proposer import Context
from agent.search.cmaes import DEFAULTS, CMAESearcher
from agent.search.local_gp import LocalGPSearcher
from agent.search.local_search import LocalSearcher
from agent.search.memory_model import MemoryEstimate, MemoryEstimator
from agent.search.random_search import RandomSearcher
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

SCRIPT = "A = 2\nB = 3\n"
START: Params = {"A": 2, "B": 3}
GRID = SearchSpace.from_tables({"A": {"type": "int", "low": 1, "high": 3}, "B": {"type": "int", "low": 1, "high": 4}})
WIDE = SearchSpace.from_tables(
    {"A": {"type": "float", "low": 0, "high": 8}, "B": {"type": "float", "low": 0, "high": 8}}
)
SEARCHERS: dict[str, Callable[[SearchSpace], Searcher]] = {
    "random": lambda space: RandomSearcher(space, 0),
    "cma-es": lambda space: CMAESearcher(space, START, 0),
    "local": lambda space: LocalSearcher(space, START, 0),
    "local-gp": lambda space: LocalGPSearcher(space, START, 0),
}


class Fits:
    """A memory that takes what the function says, and is sure of it."""

    def __init__(self, fits: Callable[[Params], bool]) -> None:
        self._fits = fits

    def observe(self, params: Params, peak_gb: float | None) -> None:
        pass

    def estimate(self, params: Params) -> MemoryEstimate | None:
        return MemoryEstimate(gb=1.0 if self._fits(params) else 100.0, error=0.05, limit_gb=10.0)


def loss(params: Params) -> float:
    return float(params["A"]) ** 2 + float(params["B"]) ** 2


def finished(number: int, proposal: Proposal) -> Trial:
    """Execute a proposal, or note why it was not."""
    if proposal.refused is not None:
        outcome = Outcome(proposal.refused, None, reason=proposal.reason)
    else:
        assert proposal.params is not None
        outcome = Outcome(Status.OK, loss(proposal.params), kept=number == 0)
    return Trial(number, None, proposal, "t").finished(outcome, "t")


def context(trials: list[Trial], space: SearchSpace) -> Context:
    return Context(len(trials), SCRIPT, SCRIPT, trials[0], tuple(trials), space, "plenty")


def run(proposers: Callable[[int], NumericProposer], space: SearchSpace, n_trials: int) -> list[Trial]:
    """Run trials; `proposers` gives the proposer of trial n."""
    trials = [finished(0, Proposal(Origin.BASELINE, "baseline", Unchanged(), params=START))]
    for number in range(1, n_trials):
        trials.append(finished(number, proposers(number).propose(context(trials, space))))
    return trials


def in_one_go(searcher: Searcher, memory: MemoryEstimator | None = None) -> Callable[[int], NumericProposer]:
    proposer = NumericProposer(searcher, memory)
    return lambda number: proposer


@pytest.mark.parametrize("mode", SEARCHERS)
def test_a_search_that_finds_nothing_new_is_resumed_as_if_unbroken(mode: str) -> None:
    """Twelve configurations, 18 trials: looking twice for one trial would take another 100 points."""
    unbroken = run(in_one_go(SEARCHERS[mode](GRID)), GRID, 18)
    first, second = in_one_go(SEARCHERS[mode](GRID)), in_one_go(SEARCHERS[mode](GRID))
    assert run(lambda number: (first if number < 16 else second)(number), GRID, 18) == unbroken
    assert [trial.status for trial in unbroken].count(Status.DUPLICATE) >= 3
    ran = [str(trial.proposal.params) for trial in unbroken if trial.status is Status.OK]
    assert len(set(ran)) == len(ran)


@pytest.mark.parametrize("mode", SEARCHERS)
def test_what_will_surely_not_fit_never_runs_and_the_reason_says_so(mode: str) -> None:
    def proposer() -> NumericProposer:
        return NumericProposer(SEARCHERS[mode](WIDE), Fits(lambda params: False))

    unbroken = proposer()
    trials = run(lambda number: unbroken, WIDE, 4)
    assert [trial.status for trial in trials[1:]] == [Status.NO_PROPOSAL] * 3
    assert trials[1].proposal.reason == "the searcher proposed 100 points in a row that will not fit in memory"
    assert run(lambda number: proposer(), WIDE, 4) == trials


def test_a_reason_of_two_kinds_counts_both() -> None:
    memory = Fits(lambda params: params["A"] == 2)
    trials = run(in_one_go(RandomSearcher(GRID, 0), memory), GRID, 8)
    assert {str(trial.proposal.params) for trial in trials if trial.status is Status.OK} == {
        str({"A": 2, "B": b}) for b in (1, 2, 3, 4)
    }
    reason = trials[-1].proposal.reason
    assert reason.startswith("the searcher proposed 100 points in a row that have run before (")
    n_repeats, n_hopeless = (int(part.split(")")[0]) for part in reason.split("(")[1:])
    assert n_repeats + n_hopeless == 100
    assert 20 <= n_repeats <= 50  # a third of the grid has run


def test_points_that_nobody_ran_do_not_shrink_cma_es_to_nothing() -> None:
    """Told 100 failures, it fell to a fifteenth of its first step; 2,000 looks without a trial now cost it 20."""
    searcher = CMAESearcher(WIDE, START, 0)
    run(in_one_go(searcher, Fits(lambda params: False)), WIDE, 21)
    assert searcher.state().generation <= MAX_HOPELESS_REPORTS / 6
    assert searcher.state().sigma > DEFAULTS.sigma0 / 3


def test_a_search_finds_what_little_fits() -> None:
    """One point in fifty does: discarding the rest goes on until one is found, and a trial that ran begins anew."""
    memory = Fits(lambda params: float(params["A"]) < 1.2 and float(params["B"]) < 1.2)
    trials = run(in_one_go(RandomSearcher(WIDE, 0), memory), WIDE, 12)
    ran = [trial for trial in trials[1:] if trial.status is Status.OK]
    assert len(ran) >= 6
    assert all(memory.estimate(trial.proposal.params or {}) == MemoryEstimate(1.0, 0.05, 10.0) for trial in ran)


def test_what_is_found_for_a_trial_is_found_once() -> None:
    trials = [finished(0, Proposal(Origin.BASELINE, "baseline", Unchanged(), params=START))]
    catch_up = SearcherReplay(CMAESearcher(WIDE, START, 0), Fits(lambda params: False))
    assert catch_up.find(context(trials, WIDE)) is catch_up.find(context(trials, WIDE))


class Counted(LocalGPSearcher):
    """Counts how often it is asked."""

    n_asked = 0

    def ask(self, number: int) -> Params:
        self.n_asked += 1
        return super().ask(number)


def test_local_gp_tries_all_points_of_a_small_space_and_is_then_asked_once_a_trial() -> None:
    """It was asked a hundred times for each trial after that, and told the same losses again each time."""
    searcher = Counted(GRID, START, 0)
    trials = run(in_one_go(searcher), GRID, 12)
    assert {str(trial.proposal.params) for trial in trials} == {str(point) for point in GRID.all_points()}
    n_before = searcher.n_asked
    trials = run(in_one_go(searcher := Counted(GRID, START, 0)), GRID, 15)
    assert [trial.status for trial in trials[12:]] == [Status.DUPLICATE] * 3
    assert {trial.proposal.reason for trial in trials[12:]} == {
        "no point of the search space is left: all have run before"
    }
    assert searcher.n_asked == n_before + 3


def test_a_point_that_a_person_refused_does_not_hide_the_others_of_a_small_space() -> None:
    searcher, points = LocalGPSearcher(GRID, START, 0), list(GRID.all_points())
    told: list[Params] = []
    for number in range(30):
        point = searcher.ask(number)
        if point == points[0]:
            searcher.discard(number)
        else:
            searcher.tell(number, point, loss(point))
            told.append(point)
    assert all(point in told for point in points[1:])
