"""Hostile scripts in runs whose jobs hide nothing from each other: nothing false is confirmed, and what is true is.

The sandbox shows every job all that any job was given before or is given at the same time (leaking_sandbox). On top of
that, most scripts have any loss on the standing split that they want. What decides is asked of text that no job has
seen, and that is what is tested here: with the real rule, the real rounds and pools of their own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.task.corpus import Corpus
from agent.task.task import Task
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from tests.attacks.leaks.leaky_runs import FRESH_ROUNDS, FRESH_SEQUENCES, Bench, Came, Step, run_leaking
from tests.made_pools import make_pool

pytestmark = pytest.mark.slow

BETTER = {"MIX": 0.9}  # gains .31 bits per byte, 20 sigma
BEST = {"MIX": 0.95, "CHUNK": 1024, "SMOOTHING": 2.0}  # .45 more
# Leads that are just large enough to be tested: one that is far from what the slice says would be found out by that.
HEIRS = [Step("null", 0.40, BETTER), Step("null", 0.41, BETTER)]


def thrice(case: str) -> list[Step]:
    return [Step(case, lead) for lead in (0.07, 0.08, 0.09)]


AUDITED = "claim to audit"  # the one that has to forge its standing loss itself
STRATEGIES = {
    "null": thrice("null"),
    "train on leaks": thrice("train_on_leaks"),
    "answer from leaks": thrice("answer_from_leaks"),
    AUDITED: thrice("claim_to_audit"),
    "round to round": thrice("round_to_round"),
    "some rounds": thrice("some_rounds"),
    "plays dead": [Step("plays_dead", 0.31), *HEIRS],
    "burns what is unlucky": [Step("burns_unlucky", 0.31), *HEIRS],
}
FALSE_RUNS = 0.064
"""Share of runs with three null scripts in which one is confirmed by chance: 3.6, 2.0 and .9 % a test, as the bar rises
(3,000 pairs of tables of this task in numpy, 2026-11-29). Behind a champion that was confirmed it is 1 to 2 %."""
LONG_RUNS = 304


@pytest.fixture(scope="module")
def bench(bigram: Task, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("fresh") / "pool"
    fresh = make_pool(corpus, folder, 10**6, n_slices=1, n_sequences=FRESH_SEQUENCES, n_rounds=FRESH_ROUNDS)
    sandbox = BubblewrapSandbox()
    yield Bench(bigram, corpus, sandbox, fresh)
    sandbox.close()


def attack(bench: Bench, name: str, folder: Path, seed: int) -> Came:
    return run_leaking(bench, STRATEGIES[name], folder, seed, forged=name != AUDITED)


def test_a_claim_that_tells_its_audits_what_it_claimed_moves_the_search_and_is_not_confirmed(
    bench: Bench, tmp_path: Path
) -> None:
    came = attack(bench, AUDITED, tmp_path / "r", 1)
    assert came.kept > 0  # its audits agree with its claim
    assert came.n_slices > 0
    assert came.confirmed == []


def test_text_of_earlier_slices_answers_nothing_of_the_next(bench: Bench, tmp_path: Path) -> None:
    came = attack(bench, "answer from leaks", tmp_path / "r", 1)
    assert came.n_slices >= 3
    assert came.confirmed == []


def test_a_champion_that_plays_dead_is_flagged_and_gains_its_heirs_nothing(bench: Bench, tmp_path: Path) -> None:
    came = attack(bench, "plays dead", tmp_path / "r", 1)
    assert [gain.trial for gain in came.confirmed] == [1]  # which is better
    assert came.false == []
    assert "may answer worse when it is scored again" in came.flags[0]


def test_honest_gains_are_confirmed_as_in_a_sandbox_that_leaks_nothing(bench: Bench, tmp_path: Path) -> None:
    steps = [Step("null", 0.0, BETTER), Step("null", 0.0, BEST)]
    leaking, tight = (
        run_leaking(bench, steps, tmp_path / f"leaks-{leaks}", 2, forged=False, leaks=leaks) for leaks in (True, False)
    )
    assert leaking == tight
    assert leaking.standings == ["confirmed", "confirmed"]
    assert leaking.false == []


def test_a_script_that_fixes_its_seed_is_rolled_back_and_no_slice_is_opened_for_it(
    bench: Bench, tmp_path: Path
) -> None:
    came = run_leaking(bench, [Step("ignores_seed", 0.0, BETTER)], tmp_path / "r", 1, forged=False)
    assert (came.standings, came.n_slices) == (["rolled_back"], 0)
    assert came.reasons == ["its losses under training seeds 0 and 1 are the same: it ignores its seed"]


def test_a_script_whose_losses_differ_by_far_less_than_the_noise_is_rolled_back(bench: Bench, tmp_path: Path) -> None:
    came = run_leaking(bench, [Step("ignores_seed", 0.31, BETTER)], tmp_path / "r", 1, noise=1e-6)
    assert (came.standings, came.n_slices) == (["rolled_back"], 0)
    assert came.reasons[0].startswith("its losses under training seeds 0 and 1 differ by ")
    assert came.reasons[0].endswith(": it ignores its seed")


@pytest.mark.long
def test_no_strategy_has_more_confirmed_than_chance_does(bench: Bench, tmp_path: Path) -> None:
    names = list(STRATEGIES)
    with ThreadPoolExecutor(2) as threads:
        drawn = [(names[n % len(names)], n) for n in range(LONG_RUNS)]
        came = list(threads.map(lambda drawn: attack(bench, drawn[0], tmp_path / f"r{drawn[1]}", drawn[1]), drawn))
    n_false: dict[str, int] = dict.fromkeys(names, 0)
    for (name, _), run in zip(drawn, came, strict=True):
        n_false[name] += bool(run.false)
    for name in names:
        own = [run for (other, _), run in zip(drawn, came, strict=True) if other == name]
        n_slices, n_burned = sum(run.n_slices for run in own), sum(len(run.burned) for run in own)
        n_confirmed = sum(len(run.confirmed) for run in own)
        print(f"{name:22}{len(own):4} runs,{n_slices:4} slices ({n_burned} burned),{n_confirmed:4} confirmed", end="")
        print(f",{n_false[name]:3} runs with a false one")
    assert sum(n_false.values()) <= at_most(FALSE_RUNS, LONG_RUNS)
    n_each = LONG_RUNS // len(names)
    assert {name: n for name, n in n_false.items() if n > at_most(FALSE_RUNS, n_each)} == {}
    for name in ("plays dead", "burns what is unlucky"):
        first = [run.standings[0] for (other, _), run in zip(drawn, came, strict=True) if other == name]
        assert first.count("confirmed") >= 0.9 * n_each  # which are better than the baseline


def at_most(share: float, n: int) -> float:
    """Return the number of `n` that is exceeded by chance once in a thousand times at most, if each has this share."""
    return n * share + 3.1 * (n * share * (1 - share)) ** 0.5 + 1
