"""What every host of a hybrid mode promises: to rate points without a change, and to learn those of others."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.edits.edit import Params, Unchanged
from agent.llm.prompt_templates import PromptSet
from agent.modes.centaur.proposer import CentaurProposer
from agent.modes.centaur.share import LLMTurns
from agent.modes.numeric import NumericProposer, host_of
from agent.modes.proposer import Context
from agent.modes.searchers import build_searcher, host_named, host_names
from agent.search.searcher import HintedSearcher, HostSearcher
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from benchmarks.autoresearch.experiment import DEFAULTS, SCRIPT
from benchmarks.autoresearch.stand_ins import PLAIN, StandIn
from benchmarks.autoresearch.surrogate import Surrogate
from tests.agent.modes.run_so_far import BRIEFING

SURROGATE = Surrogate("gp")
FAR = PLAIN.decode(np.full(PLAIN.n_dims, 0.9))
MIDDLE = PLAIN.decode(np.full(PLAIN.n_dims, 0.5))
NEAR: Params = {**DEFAULTS, "TOTAL_BATCH_SIZE": 262144}  # better than the default by .009

Build = Callable[[int], HostSearcher]


@pytest.fixture(params=[*host_names(), "cma-es, hinted"])
def build(request: pytest.FixtureRequest) -> Build:
    name, _, hinted = request.param.partition(", ")

    def built(seed: int) -> HostSearcher:
        searcher = build_searcher(name, PLAIN, DEFAULTS, seed)
        searcher = HintedSearcher(searcher, NEAR) if hinted else searcher
        assert isinstance(searcher, HostSearcher)
        return searcher

    return built


def loss(params: Params) -> float | None:
    return None if SURROGATE.memory_gb(params) > 75 else SURROGATE.mean(params)


def drive(searcher: HostSearcher, first: int, last: int, *, rates: bool = False) -> list[Params]:
    """Run trials `first` to `last`; where `rates`, other points are rated before each."""
    points = []
    for number in range(first, last + 1):
        if rates:
            searcher.predict([FAR, NEAR])
        points.append(searcher.ask(number))
        if rates:
            searcher.predict([points[-1], FAR])
        searcher.tell(number, points[-1], loss(points[-1]))
    return points


def test_rating_points_changes_no_proposal_and_no_later_rating(build: Build) -> None:
    silent, rating = build(1), build(1)
    assert drive(silent, 1, 30) == drive(rating, 1, 30, rates=True)
    assert silent.predict([FAR, NEAR]) == rating.predict([FAR, NEAR])


def test_there_is_no_rating_before_the_host_knows_anything(build: Build) -> None:
    searcher = build(1)
    assert searcher.predict([FAR, NEAR]) is None
    drive(searcher, 1, 8)
    assert searcher.predict([FAR, NEAR]) is not None


def test_a_bad_point_is_rated_worse_than_a_good_one_that_ran(build: Build) -> None:
    searcher = build(1)
    points = drive(searcher, 1, 30)
    ranked = sorted((found, number) for number, params in enumerate(points) if (found := loss(params)) is not None)
    predictions = searcher.predict([points[ranked[0][1]], points[ranked[-1][1]]])
    assert predictions is not None
    assert predictions[0] < predictions[1]


def test_the_own_point_comes_after_a_point_of_others_that_brought_nothing(build: Build) -> None:
    searcher = build(2)
    drive(searcher, 1, 12)
    point = searcher.ask(13)
    searcher.learn(13, FAR, 2.0)
    assert searcher.ask(14) == point


def test_a_point_of_others_is_rated_by_its_own_loss_from_then_on(build: Build) -> None:
    searcher = build(2)
    drive(searcher, 1, 12)
    before = searcher.predict([FAR, MIDDLE])
    searcher.ask(13)
    searcher.learn(13, MIDDLE, 0.9)
    after = searcher.predict([FAR, MIDDLE])
    assert before is not None
    assert after is not None
    assert after[1] - after[0] < before[1] - before[0]


def test_cma_es_proposes_what_it_would_without_the_points_of_others() -> None:
    """So a search with them is the same search, delayed by as many trials, whatever they brought."""
    alone, host = (build_searcher("cma-es", PLAIN, DEFAULTS, 3) for _ in range(2))
    assert isinstance(host, HostSearcher)
    expected: list[Params] = []
    for number in range(1, 31):
        expected.append(alone.ask(number))
        alone.tell(number, expected[-1], loss(expected[-1]))
    own: list[Params] = []
    for number in itertools.count(1):
        point = host.ask(number)
        if number % 3 == 0:
            host.learn(number, NEAR if number % 2 else FAR, 0.9 if number % 2 else None)
            continue
        own.append(point)
        host.tell(number, point, loss(point))
        if len(own) == 30:
            break
    assert own == expected


def test_local_gp_goes_on_from_a_point_of_others_that_is_the_best() -> None:
    searcher = build_searcher("local-gp", PLAIN, DEFAULTS, 3)
    assert isinstance(searcher, HostSearcher)
    drive(searcher, 1, 12)
    stale = searcher.ask(13)
    searcher.learn(13, FAR, 0.9)
    step = searcher.ask(14)
    assert step != stale
    assert sum(step[name] == FAR[name] for name in PLAIN.names) >= len(PLAIN.names) // 2


class Journal:
    """A run of a Centaur in memory, with one or more trials in flight."""

    def __init__(self, host: str) -> None:
        self.host = host
        started = Trial(0, None, Proposal(Origin.BASELINE, "baseline", Unchanged(), params=DEFAULTS), "t")
        self.started = [started]
        self.finished = [started.finished(Outcome(Status.OK, SURROGATE.mean(DEFAULTS), kept=True), "t")]

    def proposer(self) -> CentaurProposer:
        searcher = build_searcher(self.host, PLAIN, DEFAULTS, 5)
        host = host_of(host_named(self.host).host_title or "", searcher, NumericProposer(searcher))
        turns = LLMTurns(5, share=0.6, warmup=4)
        return CentaurProposer(
            host,
            lambda n: StandIn("adversary" if n % 2 else "weak", SURROGATE, n),
            PromptSet.load("centaur"),
            BRIEFING,
            turns=turns,
        )

    def context(self, number: int, finished: Sequence[Trial]) -> Context:
        """Return what the proposer of trial `number` saw."""
        incumbent = [trial for trial in finished if trial.kept][-1]
        script = incumbent.proposal.edit.apply(SCRIPT)
        ended = {trial.number for trial in finished}
        pending = [trial for trial in self.started[:number] if trial.number not in ended]
        return Context(number, script, SCRIPT, incumbent, tuple(finished), PLAIN, "", pending)

    def start(self, proposer: CentaurProposer) -> None:
        number = len(self.started)
        proposal = Proposal.from_json(proposer.propose(self.context(number, self.finished)).to_json())
        self.started.append(Trial(number, 0, proposal, "t", n_seen=len(self.finished)))

    def finish(self, number: int) -> None:
        trial = self.started[number]
        assert trial.proposal.params is not None
        found = loss(trial.proposal.params)
        best = min(each.val_loss for each in self.finished if each.val_loss is not None)
        status = Status.OUT_OF_MEMORY if found is None else Status.OK
        self.finished.append(trial.finished(Outcome(status, found, kept=found is not None and found < best), "t"))


@pytest.mark.parametrize("host", host_names())
@pytest.mark.parametrize("n_workers", [1, 3])
def test_resumed_at_any_trial_a_centaur_proposes_the_same(host: str, n_workers: int) -> None:
    """A new proposer, given the journal up to a trial, screens and draws as the one that worked through it."""
    run = Journal(host)
    proposer = run.proposer()
    in_flight: list[int] = []
    for _ in range(28):
        run.start(proposer)
        in_flight.append(run.started[-1].number)
        if len(in_flight) == n_workers:
            run.finish(in_flight.pop(len(run.finished) % len(in_flight)))
    offers = [trial.proposal.offer for trial in run.finished if trial.proposal.offer is not None]
    passed = {offer.taken is not None for offer in offers}
    assert passed == {True, False}, "some pass the screen and some do not, or this shows little"
    for number in range(1, 29, 3):
        trial = run.started[number]
        resumed = run.proposer()
        again = resumed.propose(run.context(number, run.finished[: trial.n_seen]))
        assert replace(again, usage=None) == replace(trial.proposal, usage=None)
