"""The numeric proposer: the journal's trials rebuild the searcher, and nothing runs twice."""

from collections.abc import Callable

import pytest

from agent.edits.assignments import read_constants
from agent.edits.edit import Params, Unchanged
from agent.edits.guard import fingerprint
from agent.modes.numeric import NumericProposer
from agent.modes.proposer import Context
from agent.search.cmaes import CMAESearcher
from agent.search.memory_model import MemoryModel
from agent.search.random_search import RandomSearcher
from agent.search.searcher import HintedSearcher, Searcher
from agent.search.space import SearchSpace
from agent.trials.steering import PERSON, TIME_LIMIT, Approval
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

SCRIPT = "DEPTH = 2  # layers\nLR = 0.01\nACT = 'relu'\n\ndef load(path):\n    return path\n"
SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 1, "high": 8},
        "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
        "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
    }
)
START = read_constants(SCRIPT, SPACE.names)
TINY = SearchSpace.from_tables({"DEPTH": {"type": "int", "low": 1, "high": 5}})


def loss(params: Params) -> float | None:
    return None if params["DEPTH"] == 5 else abs(float(params.get("LR", 0)) - 0.1) + abs(int(params["DEPTH"]) - 6)


def baseline() -> Trial:
    proposal = Proposal(origin=Origin.BASELINE, title="baseline", edit=Unchanged())
    return Trial(0, None, proposal, "t").finished(Outcome(Status.OK, loss(START), kept=True), "t")


def ran(number: int, proposal: Proposal) -> Trial:
    """Execute a proposal, or note why it was not."""
    if proposal.refused is not None:
        outcome = Outcome(proposal.refused, None)
    else:
        assert proposal.params is not None
        value = loss(proposal.params)
        outcome = Outcome(Status.OK if value is not None else Status.OUT_OF_MEMORY, value)
    return Trial(number, 0, proposal, "t").finished(outcome, "t")


def context(trials: list[Trial], space: SearchSpace = SPACE) -> Context:
    best = min((t for t in trials if t.val_loss is not None), key=lambda t: t.val_loss or 0.0)
    return Context(len(trials), best.proposal.edit.apply(SCRIPT), SCRIPT, best, tuple(trials), space, "plenty")


def by_llm(proposal: Proposal, number: int) -> Proposal:
    """What a model makes of every third point: an answer of its own, or none."""
    assert proposal.params is not None
    if number % 6 == 0:
        return Proposal(Origin.LLM, "no answer", Unchanged(), refused=Status.NO_PROPOSAL)
    if number % 3 == 0:
        answer = {**proposal.params, "LR": round(0.05 + number / 1000, 6)}
        return Proposal(Origin.LLM, "answer", proposal.edit, params=answer)
    return proposal


SEARCHERS: dict[str, Callable[[], Searcher]] = {
    "random": lambda: RandomSearcher(SPACE, 0),
    "cma-es": lambda: CMAESearcher(SPACE, START, 0),
}


@pytest.fixture(params=SEARCHERS)
def new_searcher(request: pytest.FixtureRequest) -> Callable[[], Searcher]:
    return SEARCHERS[request.param]


def test_a_proposal_writes_the_point_into_the_script(new_searcher: Callable[[], Searcher]) -> None:
    proposal = NumericProposer(new_searcher()).propose(context([baseline()]))
    assert proposal.origin is Origin.SEARCHER
    assert proposal.params is not None
    edited = proposal.edit.apply(SCRIPT)
    assert read_constants(edited, SPACE.names) == proposal.params
    assert "# layers" in edited
    assert proposal.fingerprint == fingerprint(edited)
    assert proposal.refused is None


def test_the_title_says_what_changes() -> None:
    space = SearchSpace.from_tables({"LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True}})
    proposal = NumericProposer(RandomSearcher(space, 0)).propose(context([baseline()], space))
    assert proposal.title.startswith("LR 0.01→")


def test_a_resumed_run_goes_on_as_if_unbroken(new_searcher: Callable[[], Searcher]) -> None:
    """With a model's answers, failures and refusals among the trials; the last trial of each resume was in flight."""
    unbroken, trials = NumericProposer(new_searcher()), [baseline()]
    for number in range(1, 40):
        proposal = by_llm(unbroken.propose(context(trials)), number)
        if number % 7 == 0:
            resumed = NumericProposer(new_searcher())
            assert by_llm(resumed.propose(context(trials)), number) == proposal
            unbroken = resumed
        trials.append(ran(number, proposal))
    assert {t.status for t in trials} > {Status.OK, Status.NO_PROPOSAL}


def test_if_nothing_ran_the_point_shown_stays_next(new_searcher: Callable[[], Searcher]) -> None:
    proposer, trials = NumericProposer(new_searcher()), [baseline()]
    shown = proposer.propose(context(trials))
    trials.append(ran(1, Proposal(Origin.LLM, "prose", Unchanged(), refused=Status.NO_PROPOSAL)))
    assert proposer.propose(context(trials)).params == shown.params


def test_trials_of_other_origins_are_no_turn_of_the_searcher(new_searcher: Callable[[], Searcher]) -> None:
    trials = [baseline()]
    shown = NumericProposer(new_searcher()).propose(context(trials))
    trials.append(ran(1, Proposal(Origin.MEND, "mended", Unchanged(), params=START)))
    proposer = NumericProposer(new_searcher())
    if isinstance(new_searcher(), CMAESearcher):  # random points are counted by trial
        assert proposer.propose(context(trials)).params == shown.params
    else:
        assert proposer.propose(context(trials)).params == new_searcher().ask(2)


@pytest.mark.parametrize("build", [lambda: RandomSearcher(TINY, 0), lambda: CMAESearcher(TINY, {"DEPTH": 2}, 0)])
def test_pitfall_13_no_configuration_runs_twice(build: Callable[[], Searcher]) -> None:
    """Running the incumbent again only draws its noise again: "best" then falls by itself."""
    proposer, trials = NumericProposer(build()), [baseline()]
    for number in range(1, 7):
        proposal = proposer.propose(context(trials, TINY))
        assert proposal == NumericProposer(build()).propose(context(trials, TINY))
        trials.append(ran(number, proposal))
    executed = [t.proposal.params["DEPTH"] for t in trials if t.proposal.params and t.status and t.status.ran]
    assert sorted(executed) == [1, 3, 4, 5]  # 2 is the baseline
    assert [t.status for t in trials[5:]] == [Status.DUPLICATE] * 2
    assert trials[5].proposal.reason == "no point of the search space is left: all have run before"


class Recording:
    """A random searcher that keeps its reports."""

    def __init__(self) -> None:
        self._inner = RandomSearcher(SPACE, 0)
        self.reports: list[tuple[int, Params, float | None]] = []

    def ask(self, number: int) -> Params:
        return self._inner.ask(number)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self.reports.append((number, params, loss))
        self._inner.tell(number, params, loss)

    def discard(self, number: int) -> None:
        self._inner.discard(number)

    def release(self, number: int) -> None:
        self._inner.release(number)


def test_pitfall_11_what_is_reported_is_what_ran() -> None:
    """The paper's optimizers got values that had been rounded after they proposed them."""
    searcher = Recording()
    proposer, trials = NumericProposer(searcher), [baseline()]
    for number in range(1, 13):
        trials.append(ran(number, by_llm(proposer.propose(context(trials)), number)))
    proposer.propose(context(trials))
    assert searcher.reports[0] == (0, START, loss(START))
    executed = [t for t in trials[1:] if t.status and t.status.ran]
    assert searcher.reports[1:] == [(t.number, t.proposal.params, t.val_loss) for t in executed]
    for trial in executed:
        if trial.proposal.origin is Origin.SEARCHER:
            assert read_constants(trial.proposal.edit.apply(SCRIPT), SPACE.names) == trial.proposal.params


def test_pitfall_18_a_failure_is_reported_as_a_failure_not_as_a_number() -> None:
    searcher = Recording()
    proposer, trials = NumericProposer(searcher), [baseline()]
    proposal = proposer.propose(context(trials))
    trials.append(Trial(1, 0, proposal, "t").finished(Outcome(Status.OUT_OF_MEMORY, None), "t"))
    proposer.propose(context(trials))
    assert searcher.reports[1] == (1, proposal.params, None)


def test_what_will_not_fit_does_not_run() -> None:
    """Memory is DEPTH gigabytes and 4 are allowed; random points would fail half the time."""

    def memory() -> MemoryModel:
        return MemoryModel(["DEPTH"], 4.0, SPACE.names)

    proposer, trials = NumericProposer(RandomSearcher(SPACE, 0), memory()), [baseline()]
    for number in range(1, 31):
        proposal = proposer.propose(context(trials))
        assert proposal == NumericProposer(RandomSearcher(SPACE, 0), memory()).propose(context(trials))
        assert proposal.params is not None
        gb = float(proposal.params["DEPTH"])
        outcome = Outcome(Status.OK, 1.0, peak_memory_gb=gb) if gb <= 4 else Outcome(Status.OUT_OF_MEMORY, None)
        trials.append(Trial(number, 0, proposal, "t").finished(outcome, "t"))
    failed = [t.number for t in trials if t.status is Status.OUT_OF_MEMORY]
    assert failed  # until it knows
    assert max(failed) < 15


def not_approved(number: int, proposal: Proposal, by: str) -> Trial:
    approval = Approval(is_approved=False, by=by)
    trial = Trial(number, 0, proposal, "t", needs_approval=True, approval=approval)
    return trial.finished(Outcome(Status.REFUSED, None, reason=approval.why), "t")


@pytest.mark.parametrize("is_hinted", [False, True])
def test_a_point_that_a_person_refused_is_never_proposed_again(
    new_searcher: Callable[[], Searcher], is_hinted: bool
) -> None:
    hint = {"DEPTH": 7, "LR": 0.02, "ACT": "gelu"}
    proposer = NumericProposer(HintedSearcher(new_searcher(), hint) if is_hinted else new_searcher())
    trials = [baseline()]
    for number in range(1, 12):
        proposal = proposer.propose(context(trials))
        assert proposal.params not in [trial.proposal.params for trial in trials]
        trials.append(not_approved(number, proposal, PERSON) if number % 2 else ran(number, proposal))
    rebuilt = NumericProposer(HintedSearcher(new_searcher(), hint) if is_hinted else new_searcher())
    assert rebuilt.propose(context(trials)) == proposer.propose(context(trials))


def test_a_small_space_whose_points_are_all_refused_has_nothing_to_propose() -> None:
    proposer = NumericProposer(RandomSearcher(TINY, 0))
    trials = [baseline()]  # DEPTH 2 has run
    for number in range(1, 5):
        proposal = proposer.propose(context(trials, TINY))
        assert proposal.refused is None
        trials.append(not_approved(number, proposal, PERSON))
    assert len({trial.proposal.params["DEPTH"] for trial in trials[1:] if trial.proposal.params}) == 4
    last = proposer.propose(context(trials, TINY))
    assert (last.refused, last.reason) == (
        Status.DUPLICATE,
        "no point of the search space is left: all have run before or are refused",
    )


def test_a_point_that_nobody_approved_in_time_is_proposed_again(new_searcher: Callable[[], Searcher]) -> None:
    proposer = NumericProposer(new_searcher())
    first = proposer.propose(context([baseline()]))
    trials = [baseline(), not_approved(1, first, TIME_LIMIT)]
    assert proposer.propose(context(trials)).params == first.params


def test_a_models_answer_that_a_person_refused_gives_the_searchers_own_point_back() -> None:
    space, searcher = SPACE, RandomSearcher(SPACE, 0)
    proposer = NumericProposer(searcher)
    point = proposer.propose(context([baseline()], space))
    assert point.params is not None
    answer = Proposal(Origin.LLM, "answer", point.edit, params={**point.params, "LR": 0.0123}, shown=point.params)
    trials = [baseline(), not_approved(1, answer, PERSON)]
    assert proposer.propose(context(trials, space)).params == point.params
