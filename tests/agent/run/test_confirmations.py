"""Gains confirmed on slices: real jobs on the small task with a pool."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.edits.assignments import Assignments
from agent.errors import JournalError
from agent.execution.slices.source import Answers, Burned, Contender, Openings
from agent.execution.slices.text_slices import TextSlices
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_history
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.pool import Pool
from agent.task.unseen.pool_making import prepare_pool
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, CHAMPION, SlicePurpose
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.trial import KeepState, Origin, Proposal, Score
from sandbox.job import Sandbox

PAIRED = KeepRule(paired=True, sigma=0.001, lead=4.0, n_slices=5)
UNPAIRED = KeepRule(sigma=0.01, lead=4.0, n_slices=5)


class Values:
    """Proposes values of constants in turn."""

    def __init__(self, *values: dict[str, float]) -> None:
        self._values = values

    def propose(self, context: Context) -> Proposal:
        values = self._values[context.number - 1]
        return Proposal(Origin.SEARCHER, f"{values}", Assignments(values))


class ScriptedSlices:
    """Slices whose answers are made up: what each model is said to be worth. Real files, no jobs."""

    n_items = n_standing = 100
    digest = "told"

    def __init__(
        self, folder: Path, answers: Callable[[int, Collection[str]], Mapping[str, float] | str], error: float = 0.001
    ) -> None:
        self.openings = Openings(folder / "opened.jsonl")
        self.n_slices = 5
        self.asked: list[tuple[int, list[str]]] = []
        self._answers = answers
        self._error = error

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        return None

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> "Answers | Burned":
        names = [model.name for model in models]
        self.asked.append((number, names))
        assert all(model.artifact.is_file() for model in models)
        found = self._answers(number, names)
        return (
            Burned(found, "the scoring job did not answer in time", [])
            if isinstance(found, str)
            else _Losses(found, self._error)
        )


class _Losses:
    def __init__(self, losses: Mapping[str, float], error: float) -> None:
        self.losses = losses
        self._error = error

    def lead(self, better: Collection[str], worse: str) -> Lead:
        return Lead(self.losses[worse] - sum(self.losses[name] for name in better) / len(better), self._error)


@pytest.fixture(scope="session")
def pool(bigram: Task, cache: Path, corpus: Corpus) -> Pool:
    return prepare_pool(bigram, cache)


OpenRunWith = Callable[..., Run]


@pytest.fixture
def opened(
    open_run: OpenRunWith, bigram: Task, corpus: Corpus, pool: Pool, sandbox: Sandbox, *, tmp_path: Path
) -> Callable[..., Run]:
    def opened_with(*values: dict[str, float], rule: KeepRule = PAIRED, **more: Any) -> Run:
        if "slices" not in more:
            more["slices"] = TextSlices(bigram, corpus, pool, sandbox)
            more["slices"].openings = Openings(tmp_path / "opened.jsonl")  # not those of other tests
        return open_run(Values(*values), trials=len(values) + 1, rule=rule, **more)

    return opened_with


def event_names(run: Run) -> list[str]:
    """Return the names of the events in the journal, without those of trials."""
    names = [json.loads(line)["event"] for line in run.paths.journal.read_text().splitlines()]
    return [name for name in names if not name.startswith("trial")]


def losses(**worth: float) -> Callable[[int, Collection[str]], Mapping[str, float]]:
    """Return answers that are the same on every slice."""
    return lambda _, names: {name: worth.get(name.partition("-")[0], 3.7) for name in names}


def test_a_gain_is_confirmed_on_a_slice_that_is_opened_once_all_is_trained(opened: OpenRunWith) -> None:
    run = opened({"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024})
    run_trials(run)
    assert [trial.standing for trial in run.history.trials] == [KeepState.CONFIRMED] * 3
    champion = ["repeat_started", "repeat_finished"]
    confirm = ["repeat_started", "repeat_trained", "slice_opened", "slice_scored", "repeat_finished"]
    assert (
        event_names(run) == champion + confirm * 2
    )  # the first champion is the baseline, which has no run under seed 1
    first, second = run.history.slices
    assert list(first.entrants) == list(second.entrants) == [BASELINE, CHAMPION, CHALLENGER]
    runs = [[(entrant.trial, entrant.seed) for entrant in use.entrants.values()] for use in (first, second)]
    assert runs == [[(0, 0), (0, 1), (1, 1)], [(0, 0), (1, 1), (2, 1)]]
    assert first.entrants[CHALLENGER].artifact == second.entrants[CHAMPION].artifact
    for use in (first, second):
        assert use.score is not None
        assert use.score.losses[CHALLENGER] < use.score.losses[CHAMPION] < use.score.losses[BASELINE] + 0.1
        assert use.score.lead(CHALLENGER, CHAMPION).mean > 0
    # What it left behind stays while it is champion, and what came before is removed.
    left = {str(path.parent.relative_to(run.paths.root)) for path in run.paths.root.rglob("artifact")}
    assert left == {"trials/0000", "trials/0001", "trials/0002", "trials/0002/seed-1"}


def test_built_anew_the_keeper_decides_the_same(opened: OpenRunWith) -> None:
    run = opened({"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024})
    run_trials(run)
    again = KeepPolicy(PAIRED, read_history(run.paths.journal).results)
    assert (again.champion, again.incumbent, again.sigma) == (2, 2, run.keeper.sigma)
    assert vars(again.tests) == vars(run.keeper.tests)


def test_unpaired_the_champion_is_the_baselines_own_model_at_first(opened: OpenRunWith) -> None:
    run = opened({"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024}, rule=UNPAIRED)
    run_trials(run)
    runs = [{name: (e.trial, e.seed) for name, e in use.entrants.items()} for use in run.history.slices]
    assert runs == [
        {BASELINE: (0, 0), CHALLENGER: (1, 1)},
        {BASELINE: (0, 0), CHAMPION: (1, 1), CHALLENGER: (2, 1)},
    ]
    assert run.keeper.champion == 2


def test_a_forged_search_loss_is_rolled_back(opened: OpenRunWith, tmp_path: Path) -> None:
    # On unseen text it is worth what the champion is; on the standing split it leads by 0.9.
    slices = ScriptedSlices(tmp_path, losses(baseline=3.7, champion=3.7, challenger=3.7002))
    run = opened({"MIX": 0.9}, slices=slices)
    run_trials(run)
    verdict = run.history.repeats[-1].verdict
    assert verdict is not None
    assert verdict.standing is KeepState.ROLLED_BACK
    assert "a leaked standing split would" in verdict.reason
    assert (run.keeper.champion, run.keeper.incumbent) == (0, 0)


@pytest.mark.slow
def test_between_nothing_and_the_bar_a_second_seed_is_tested_on_a_second_slice(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    def answers(number: int, names: Collection[str]) -> Mapping[str, float]:
        lead = 0.02 + 0.001 * number
        return {name: 3.7 - lead * (name == CHALLENGER) for name in names}

    rule = replace(PAIRED, sigma=0.05, lead=0.1)
    run = opened(
        {"MIX": 0.52}, {"MIX": 0.5}, {"MIX": 0.5}, slices=ScriptedSlices(tmp_path, answers, error=0.01), rule=rule
    )
    run_trials(run)
    confirming = [repeat for repeat in run.history.repeats if repeat.verdict is not None]
    assert [(repeat.trial, repeat.seed) for repeat in confirming] == [(1, 1), (1, 2)]
    standings = [repeat.verdict.standing for repeat in confirming if repeat.verdict is not None]
    assert standings == [KeepState.PROVISIONAL] * 2
    assert (run.keeper.tests.is_settled(1), run.keeper.tests.bar) == (True, 2.25)  # it is not tested a third time
    assert [use.number for use in run.history.slices] == [0, 1]


def test_a_slice_that_the_champion_burns_is_followed_by_another_and_the_challengers_is_not(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    def answers(number: int, names: Collection[str]) -> Mapping[str, float] | str:
        return CHAMPION if number == 0 else {name: 3.7 - 0.4 * (name == CHALLENGER) for name in names}

    run = opened({"MIX": 0.7}, slices=ScriptedSlices(tmp_path, answers))
    run_trials(run)
    assert [use.score is not None and use.score.is_burned for use in run.history.slices] == [True, False]
    assert run.keeper.tests.n_opened == 2
    # The champion may have ended because it saw that its heir was unlucky: the next slice has to say more.
    verdict = run.history.repeats[-1].verdict
    assert verdict is not None
    assert verdict.bar == 2.25
    assert vars(KeepPolicy(PAIRED, read_history(run.paths.journal).results).tests) == vars(run.keeper.tests)


def test_a_test_whose_slices_are_all_burned_leaves_the_slice_of_the_result_and_the_bar_raised_for_each(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    rule = replace(PAIRED, n_slices=2)
    run = opened({"MIX": 0.7}, slices=ScriptedSlices(tmp_path, lambda _, names: CHAMPION), rule=rule)
    run_trials(run)
    assert [use.number for use in run.history.slices] == [0, 1]
    assert (run.keeper.tests.bar, run.keeper.tests.is_settled(1)) == (2.5, True)
    assert run.history.trials[1].standing is KeepState.PROVISIONAL


@pytest.mark.slow
@pytest.mark.parametrize(("burned_by", "n_final"), [(BASELINE, 3), (CHAMPION, 1), ("result-100", 1)])
def test_the_result_is_asked_about_other_text_only_if_the_baseline_did_not_answer(
    opened: OpenRunWith, tmp_path: Path, *, burned_by: str, n_final: int
) -> None:
    def answers(number: int, names: Collection[str]) -> Mapping[str, float] | str:
        return {name: 3.7 - 0.35 * (name == CHALLENGER) for name in names} if CHALLENGER in names else burned_by

    run = opened({"MIX": 0.9}, slices=ScriptedSlices(tmp_path, answers), final_runs=1)
    run_trials(run)
    assert [use.purpose for use in run.history.slices] == [SlicePurpose.CONFIRM, *[SlicePurpose.FINAL] * n_final]


def test_a_challenger_that_does_not_answer_is_rolled_back(opened: OpenRunWith, tmp_path: Path) -> None:
    run = opened({"MIX": 0.7}, slices=ScriptedSlices(tmp_path, lambda _, names: CHALLENGER))
    run_trials(run)
    verdict = run.history.repeats[-1].verdict
    assert verdict is not None
    assert verdict.standing is KeepState.ROLLED_BACK
    assert verdict.reason == "it did not answer on unseen text: the scoring job did not answer in time"
    assert len(run.history.slices) == 1


@pytest.mark.slow
def test_without_a_slice_left_nothing_is_tested(opened: OpenRunWith, tmp_path: Path) -> None:
    run = opened({"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024}, rule=replace(PAIRED, n_slices=1))
    run_trials(run)
    assert [trial.standing for trial in run.history.trials] == ["confirmed", "confirmed", "provisional"]
    assert run.keeper.is_used_up


def test_a_score_program_that_knows_no_rounds_makes_gains_repeated(opened: OpenRunWith, tmp_path: Path) -> None:
    class Unable(ScriptedSlices):
        def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
            return "it does not answer `rounds`"

    run = opened({"MIX": 0.9}, slices=Unable(tmp_path, losses()))
    run_trials(run)
    verdict = run.history.repeats[-1].verdict
    assert verdict is not None
    assert (verdict.standing, verdict.reason) == (KeepState.REPEATED, "it does not answer `rounds`")
    assert run.history.slices == []
    assert KeepPolicy(PAIRED, read_history(run.paths.journal).results).why_no_slices == "it does not answer `rounds`"


def test_a_champion_whose_lead_shrinks_is_flagged_and_its_heir_not_confirmed(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    def answers(number: int, names: Collection[str]) -> Mapping[str, float]:
        worth = {CHALLENGER: 0.355} if number == 0 else {CHALLENGER: 0.3555, CHAMPION: 0.1}
        return {name: 3.7 - worth.get(name, 0.0) for name in names}

    run = opened({"MIX": 0.9}, {"MIX": 0.95}, slices=ScriptedSlices(tmp_path, answers))
    run_trials(run)
    assert run.history.trials[1].standing is KeepState.CONFIRMED
    score = run.history.slices[1].score
    assert score is not None
    assert "may answer worse when it is scored again" in score.flags[0]
    assert run.history.trials[2].standing is not KeepState.CONFIRMED


def test_the_final_runs_share_one_slice_with_champion_and_baseline(opened: OpenRunWith) -> None:
    run = opened({"MIX": 0.9}, final_runs=2)
    run_trials(run)
    use = run.history.slices[-1]
    assert use.purpose is SlicePurpose.FINAL
    assert list(use.entrants) == [BASELINE, CHAMPION, "result-100", "result-101"]
    assert event_names(run)[-2:] == ["slice_opened", "slice_scored"]
    assert use.score is not None
    assert use.score.lead("result", BASELINE).mean > 0.1


def test_the_models_of_a_champion_that_needed_two_tests_are_there_for_the_next_challenger(
    opened: OpenRunWith, tmp_path: Path
) -> None:
    def answers(number: int, names: Collection[str]) -> Mapping[str, float]:
        lead = {0: 0.1, 1: 0.3}.get(number, 0.6)
        return {name: 3.7 - lead * (name == CHALLENGER) for name in names}

    rule = replace(PAIRED, sigma=0.01)
    run = opened(
        {"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024}, slices=ScriptedSlices(tmp_path, answers, error=0.08), rule=rule
    )
    run_trials(run)
    challengers = [(use.entrants[CHALLENGER].trial, use.entrants[CHALLENGER].seed) for use in run.history.slices]
    assert challengers[:3] == [(1, 1), (1, 2), (2, 1)]
    champion = run.history.slices[2].entrants[CHAMPION]
    assert (champion.trial, champion.seed) == (1, 1)


@pytest.mark.slow
def test_a_champions_model_that_is_gone_stops_the_run_with_a_sentence(opened: OpenRunWith) -> None:
    run = opened({"MIX": 0.75}, {"MIX": 0.95, "CHUNK": 1024})
    run.policy.budget = replace(run.policy.budget, trials=2)
    run_trials(run)
    (run.paths.trial(1).repeat(1).artifact).unlink()
    run.policy.budget = replace(run.policy.budget, trials=3)
    with pytest.raises(JournalError, match=r"seed-1/artifact is missing, and the champion must be .*start a new run"):
        run_trials(run)
    assert len(run.history.slices) == 1
