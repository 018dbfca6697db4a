"""What went wrong in the paper's runs (arXiv 2603.24647, from its logs and code), one test each, by number.

Not here is 5, two jobs that wrote into one file: tests/agent/test_cli.py has a second process on a run, which is
refused with the pid of the first. 14, a throttled GPU that changed the baseline from .991 to 1.008, is here for budgets
that count work; those by the clock cannot be tested without one.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.budget import Ledger
from agent.config import RunConfig
from agent.edits.assignments import read_constants
from agent.edits.edit import Params, Unchanged
from agent.errors import ModelError
from agent.llm.model import Completion
from agent.llm.scripted import ScriptedModel
from agent.modes import build_model, build_proposer
from agent.paths import RunsFolder
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing
from agent.propose.configurations import shortlist, table
from agent.propose.fixed import FixedProposer
from agent.propose.memory import Memory
from agent.propose.numeric import NumericProposer
from agent.propose.proposer import Context
from agent.search.cmaes import CMAESearcher
from agent.search.random_search import RandomSearcher
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace
from agent.task import Task
from agent.trial import Origin, Outcome, Proposal, Status, Trial, Usage
from benchmarks.autoresearch.__main__ import interval

from .agent.llm.fake_server import fails, fake_server

ROOT = Path(__file__).parents[1]
SCRIPT = "DEPTH = 2\nBATCH = 64\nLR = 0.01\nACT = 'relu'\n"
SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 1, "high": 8},
        "BATCH": {"type": "power_of_two", "low": 16, "high": 256},
        "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
        "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
    }
)
START = read_constants(SCRIPT, SPACE.names)
BRIEFING = Briefing("train.py", "val_bpb", False, (), "5 minutes, 76 GB of memory")
BETTER = '{"DEPTH": 4, "BATCH": 128, "LR": 0.02, "ACT": "gelu"}'


def drive(searcher: Searcher, first: int, last: int) -> list[Params]:
    points = []
    for number in range(first, last + 1):
        points.append(searcher.ask(number))
        searcher.tell(number, points[-1], float(points[-1]["LR"]))
    return points


def cma(seed: int = 0) -> CMAESearcher:
    return CMAESearcher(SPACE, START, seed)


def ended(number: int, outcome: Outcome, params: Params | None = None, **proposal: Any) -> Trial:
    origin = proposal.pop("origin", Origin.SEARCHER if number else Origin.BASELINE)
    made = Proposal(origin, f"idea {number}", Unchanged(), params=params, **proposal)
    return Trial(number, 0 if number else None, made, "t").finished(outcome, "t")


def baseline() -> Trial:
    return ended(0, Outcome(Status.OK, 2.5, kept=True), START)


def context(trials: Sequence[Trial], space: SearchSpace = SPACE, script: str = SCRIPT) -> Context:
    return Context(len(trials), script, script, trials[0], tuple(trials), space, "plenty")


def ask_fixed(*replies: Any, trials: Sequence[Trial] = ()) -> tuple[Proposal, ScriptedModel]:
    model = ScriptedModel(replies)
    proposer = FixedProposer(lambda _: model, PromptSet.load("fixed"), BRIEFING)
    return proposer.propose(context([baseline(), *trials])), model


def test_1_the_optimizers_state_survives_a_kill() -> None:
    unbroken, again = cma(), cma()
    drive(unbroken, 1, 20)
    drive(again, 1, 20)  # what a resumed run does
    assert again.state() == unbroken.state()
    assert again.state().generation > 0


def test_2_a_resumed_random_search_does_not_draw_the_same_points_again() -> None:
    before = drive(RandomSearcher(SPACE, 0), 1, 10)
    after = drive(RandomSearcher(SPACE, 0), 11, 20)
    assert all(point not in before for point in after)


def test_3_and_13_no_configuration_runs_twice_for_a_lucky_draw() -> None:
    tiny = SearchSpace.from_tables({"DEPTH": {"type": "int", "low": 1, "high": 4}})
    script, trials = "DEPTH = 1\n", [ended(0, Outcome(Status.OK, 2.5, kept=True), {"DEPTH": 1})]
    while (proposal := NumericProposer(RandomSearcher(tiny, 0)).propose(context(trials, tiny, script))).refused is None:
        trials.append(ended(len(trials), Outcome(Status.OK, 2.4), proposal.params))
    assert sorted(str(trial.proposal.params) for trial in trials) == [f"{{'DEPTH': {n}}}" for n in (1, 2, 3, 4)]
    assert proposal.refused is Status.DUPLICATE


def test_4_two_runs_of_one_seed_share_no_working_copy(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    small, large = (runs.run(name) for name in ("centaur-small-s0", "centaur-large-s0"))
    mine = {small.worktree, small.trial(1).files, small.journal}
    assert not mine & {large.worktree, large.trial(1).files, large.journal}


def test_6_the_model_sees_the_mean_and_the_spread_that_the_search_has() -> None:
    searcher = cma()
    drive(searcher, 1, 30)
    state = searcher.state()
    shown = {line.split(",")[0]: line.split(",") for line in table(SPACE, START, state).splitlines()[1:]}
    assert float(shown["LR"][4]) == pytest.approx(state.mean["LR"], rel=0.05)
    assert float(shown["LR"][5].removeprefix("x")) == pytest.approx(state.std["LR"], rel=0.05)
    assert float(shown["DEPTH"][4]) == pytest.approx(state.mean["DEPTH"], rel=0.05)


def test_7_a_model_that_fails_writes_no_trial_that_looks_like_its_own() -> None:
    proposal, _ = ask_fixed("I cannot do that.", "Sorry.")
    assert (proposal.refused, proposal.params, proposal.edit) == (Status.NO_PROPOSAL, None, Unchanged())

    def unplugged(_messages: object) -> str:
        raise ModelError("the endpoint is gone")

    with pytest.raises(ModelError):
        ask_fixed(unplugged)


def test_8_a_refused_key_is_known_before_the_run_begins() -> None:
    with fake_server([fails(401, "no such key")] * 3) as server:
        config = config_of(base_url=server.base_url, model="fake-1")
        with pytest.raises(ModelError, match="OPENAI_API_KEY"):
            build_model(config, "wrong", 0, say=lambda _: None, count_tokens=lambda _: None)


def test_9_a_failure_has_a_rank_and_no_size() -> None:
    """A penalty of 100 as a loss dragged the paper's search distribution."""
    states = []
    for failed in (None, 1e9):
        searcher = cma()
        for number in range(1, 40):
            point = searcher.ask(number)
            searcher.tell(number, point, failed if number % 10 == 5 else float(point["LR"]))
        states.append(searcher.state())
    assert states[0] == states[1]


def test_10_the_search_starts_from_the_scripts_values_and_learns_choices() -> None:
    searcher = cma()
    assert searcher.state().mean["LR"] == pytest.approx(START["LR"], rel=1e-6)
    chosen = []
    for number in range(1, 121):
        point = searcher.ask(number)
        chosen.append(point["ACT"])
        searcher.tell(number, point, 0.0 if point["ACT"] == "silu" else 1.0)
    assert chosen[-30:].count("silu") > 20


def test_11_what_is_asked_is_what_runs_and_what_is_told() -> None:
    for point in drive(cma(), 1, 30):
        assert SPACE.canonical(point) == point
        assert SPACE.decode(SPACE.encode(point)) == point


def test_12_the_prompts_limits_are_those_that_are_enforced(bigram: Task, tmp_path: Path) -> None:
    model = ScriptedModel(['{"no": 1}', '{"no": 1}'])
    trials = [ended(0, Outcome(Status.OK, 2.5, kept=True), bigram.defaults)]
    proposer = build_proposer(config_of(mode="fixed"), bigram, model, RunsFolder(tmp_path).run("r"), None)
    assert bigram.space is not None
    proposer.propose(context(trials, bigram.space, bigram.source))
    assert f"{bigram.limits.memory_gb:g} GiB of memory" in model.requests[0][0].content


def test_14_the_bundled_profile_counts_work_and_not_seconds() -> None:
    assert Task.load(ROOT / "train_template", "cpu").budget.unit == "work"


def test_15_running_out_of_memory_is_a_failure_and_the_search_goes_on() -> None:
    trials = [baseline()]
    for number in range(1, 15):
        point = NumericProposer(cma()).propose(context(trials)).params
        assert point is not None
        deep = int(point["DEPTH"]) > 2
        trials.append(ended(number, Outcome(Status.OUT_OF_MEMORY, None) if deep else Outcome(Status.OK, 2.0), point))
    assert {trial.val_loss for trial in trials if trial.status is Status.OUT_OF_MEMORY} == {None}
    assert NumericProposer(cma()).propose(context(trials)).refused is None


def test_16_one_ledger_counts_training_and_the_clock_apart() -> None:
    success = Outcome(Status.OK, 2.0, train_seconds=300.0, wall_seconds=343.0, total_seconds=360.0)
    failure = Outcome(Status.OUT_OF_MEMORY, None, train_seconds=32.0, wall_seconds=32.0, total_seconds=33.0)
    usage = Usage("m", calls=1, seconds=15.0)
    ledger = Ledger.of([ended(1, success, START, usage=usage), ended(2, failure, START)])
    assert (ledger.trials, ledger.train_seconds, ledger.wall_seconds) == (2, 332.0, 393.0)
    assert ledger.usage == usage


def test_17_a_model_that_thinks_without_end_is_cut_off_and_nothing_of_it_runs() -> None:
    endless = Completion(text=BETTER, model="m", finish_reason="length", reasoning="hmm " * 1000)
    proposal, model = ask_fixed(endless, endless)
    assert proposal.refused is Status.NO_PROPOSAL
    assert "cut off" in model.requests[1][-1].content


def test_18_a_failure_cannot_carry_a_loss() -> None:
    with pytest.raises(ValueError, match="a loss belongs to status ok"):
        Outcome(Status.OUT_OF_MEMORY, 100.0)
    with pytest.raises(ValueError, match="a loss belongs to status ok"):
        Outcome(Status.OK, None)


def test_19_the_best_configurations_shown_are_distinct_and_failures_are_summarised() -> None:
    again = [ended(n, Outcome(Status.OK, 2.4), {**START, "DEPTH": 3}) for n in range(1, 6)]
    failed = [ended(n, Outcome(Status.OUT_OF_MEMORY, None), {**START, "DEPTH": 8}) for n in range(6, 30)]
    shown = shortlist(context([baseline(), *again, *failed]), BRIEFING)
    assert len(shown["top"].splitlines()) == 2
    assert shown["failures"] == "24 out_of_memory"
    assert len(shown["failed"].splitlines()) == 2


@pytest.mark.parametrize("wrong", [{"LR": None}, {"ACT": "swish"}, {"DEPTH": 3.5}, {"EXTRA": 1}])
def test_20_nothing_is_filled_in_for_the_model(wrong: Mapping[str, Any]) -> None:
    import json

    answer = {name: value for name, value in {**json.loads(BETTER), **wrong}.items() if value is not None}
    proposal, _ = ask_fixed(json.dumps(answer), json.dumps(answer))
    assert (proposal.refused, proposal.params) == (Status.NO_PROPOSAL, None)
    mended, _ = ask_fixed(json.dumps(answer), BETTER)
    assert mended.params == json.loads(BETTER)


def test_21_three_seeds_have_the_interval_that_three_seeds_deserve() -> None:
    """Their ranking changed from 3 seeds to 8. Student's quantile is 4.30 for 3 and 2.09 for 20."""
    sample = np.array([0.9756, 0.9766, 0.9768])
    assert interval(sample) == pytest.approx(4.30 * sample.std(ddof=1) / math.sqrt(3), rel=0.05)


def test_22_what_was_tried_is_remembered_after_a_resume() -> None:
    tried = ended(1, Outcome(Status.OK, 2.6), origin=Origin.LLM)
    assert tried.outcome is not None
    proposal, outcome = Proposal.from_json(tried.proposal.to_json()), Outcome.from_json(tried.outcome.to_json())
    resumed = Trial(1, 0, proposal, "t").finished(outcome, "t")
    assert "idea 1" in Memory(BRIEFING, [baseline(), resumed]).tried(5)


def config_of(**values: Any) -> RunConfig:
    known = {"run_id": "r", "mode": "fixed", "task_folder": ".", "task_name": "t", "task_digest": "d"}
    return RunConfig(**{**known, **values})
