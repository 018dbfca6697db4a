"""The surrogate says what the published trials say, and a search on it is a search like any other."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.llm.model import Message, Model
from agent.llm.scripted import ScriptedModel
from agent.modes.centaur.share import LLMTurns
from agent.trials.trial import Status
from benchmarks.autoresearch import modes
from benchmarks.autoresearch.__main__ import Setting, interval, plot, run
from benchmarks.autoresearch.experiment import DEFAULTS, SPACE, n_weights
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.searched import Store
from benchmarks.autoresearch.surrogate import MODEL, Surrogate


@pytest.mark.parametrize("variant", ["gp", "avg", "lgb"])
def test_the_default_configuration_is_as_published(variant: str) -> None:
    """0.9914 +- 0.0005 bits per byte, 44.0 GB, 50.3 million weights, over 890 evaluations."""
    surrogate = Surrogate(variant)  # type: ignore[arg-type]
    assert surrogate.mean(DEFAULTS) == pytest.approx(0.9914, abs=0.0005)
    assert surrogate.run(DEFAULTS, np.random.default_rng(0)).memory_gb == pytest.approx(44.0, abs=0.3)
    assert n_weights(DEFAULTS) == pytest.approx(50.3e6, rel=0.001)


def test_half_of_random_configurations_run_out_of_memory() -> None:
    """Published: 56 %."""
    surrogate, rng = Surrogate("gp"), np.random.default_rng(0)
    plain = SPACE.plain()
    drawn = [surrogate.run(plain.decode(rng.random(plain.n_dims)), rng) for _ in range(300)]
    failed = [result for result in drawn if result.val_bpb is None]
    assert 0.5 < len(failed) / len(drawn) < 0.65
    assert all(result.seconds == 32.0 for result in failed)


def test_the_model_is_small_enough_to_be_committed() -> None:
    assert MODEL.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    "mode",
    [
        "random",
        "cma-es",
        "cma-es+derived+memory",
        "local+derived",
        "local-gp+derived+memory",
        "local+hints",
        "tpe-4",
        "centaur:echo",
    ],
)
def test_a_search_is_charged_and_repeats_exactly(mode: str) -> None:
    ledgers = [Ledger(Surrogate("gp"), seed=1, budget_seconds=3 * 3600) for _ in range(2)]
    for ledger in ledgers:
        modes.search(mode, ledger.seed, ledger)
    assert ledgers[0].curve == ledgers[1].curve
    assert ledgers[0].seconds >= 3 * 3600
    assert ledgers[0].curve[-2][0] < 3 * 3600
    assert ledgers[0].best <= ledgers[0].curve[0][1]


def test_tpe_with_the_papers_settings_is_another_search() -> None:
    ledgers = {mode: Ledger(Surrogate("gp"), seed=1, budget_seconds=3 * 3600) for mode in ("tpe", "tpe-4")}
    points = {mode: [t.proposal.params for t in modes.search(mode, 1, each)] for mode, each in ledgers.items()}
    assert points["tpe"][:10] == points["tpe-4"][:10]  # the baseline, and a random start-up
    assert points["tpe"] != points["tpe-4"]


def test_a_models_turns_are_counted_and_what_does_not_run_is_not_charged() -> None:
    """The model hands back what it is shown: CMA-ES's point runs, the incumbent is a duplicate."""

    def copies(messages: Sequence[Message]) -> str:
        return re.findall(r"^\{.*\}$", messages[1].content, re.MULTILINE)[-1]

    ledger = Ledger(Surrogate("gp"), seed=0, budget_seconds=3 * 3600)
    trials = modes.search("centaur", 0, ledger, ScriptedModel([copies] * 99), LLMTurns(0, warmup=2, every=2))
    decided = [trial for trial in trials if trial.proposal.usage is not None]
    assert {trial.proposal.offer.points for trial in decided if trial.proposal.offer is not None} == {()}
    assert len(trials) == ledger.n_trials + 1

    ledger = Ledger(Surrogate("gp"), seed=0, budget_seconds=3 * 3600)
    published = modes.search(
        "published:centaur", 0, ledger, ScriptedModel([copies] * 99), LLMTurns(0, warmup=2, every=2)
    )
    assert {trial.proposal.copied_from for trial in published if trial.proposal.usage is not None} == {"searcher"}

    ledger = Ledger(Surrogate("gp"), seed=0, budget_seconds=3 * 3600)
    trials = modes.search("fixed", 0, ledger, ScriptedModel([copies] * 99))
    assert {trial.status for trial in trials[1:]} == {Status.DUPLICATE}
    assert (len(trials), ledger.n_trials) == (21, 0)  # 20 proposals in a row that never ran end a search


def test_a_finished_search_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its course and what became of the model's turns come from the store; nobody is asked."""

    def compare(model: Model, seeds: int) -> str:
        setting = Setting(
            range(1, 1 + seeds), 1.5, model, LLMTurns(0, warmup=2, every=3), Store(tmp_path / "store.jsonl")
        )
        run(["cma-es", "centaur"], "gp", setting)
        return re.sub(r"\d+ \|$", "|", capsys.readouterr().out, flags=re.MULTILINE)  # without the seconds

    nothing = "{}"  # no proposal, whose repair turn is the same
    first = compare(ScriptedModel([nothing] * 99), seeds=1)
    assert "no point that can run" in first
    assert compare(ScriptedModel([]), seeds=1) == first
    assert compare(ScriptedModel([nothing] * 99), seeds=2) != first
    stored = (tmp_path / "store.jsonl").read_text()
    assert len(stored.splitlines()) == 4

    (tmp_path / "store.jsonl").write_text(stored[:-5])  # killed while the last one was written
    compare(ScriptedModel([nothing] * 99), seeds=2)
    assert len((tmp_path / "store.jsonl").read_text().splitlines()) == 4


def test_a_stored_line_that_is_no_search_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.jsonl").write_text('{"key": {}}\n')
    with pytest.raises(ValueError, match="line 1 is not a search"):
        Store(tmp_path / "store.jsonl")


def test_a_mode_that_asks_a_model_needs_one() -> None:
    with pytest.raises(ValueError, match="--base-url, or --embedded"):
        modes.search("fixed", 0, Ledger(Surrogate("gp"), seed=0, budget_seconds=3600))


@pytest.mark.parametrize("mode", ["magic+derived", "cma-es+derivd", "peer:cma-es+memory", "cma-es+"])
def test_unknown_modes_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"there is no mode {re.escape(mode)};"):
        modes.check(mode)


def test_the_interval_is_students() -> None:
    sample = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert interval(sample) == pytest.approx(2.5706 * sample.std(ddof=1) / np.sqrt(6), rel=0.01)


def test_the_convergence_is_drawn(tmp_path: Path) -> None:
    ledger = Ledger(Surrogate("gp"), seed=0, budget_seconds=3600)
    modes.search("random", 0, ledger)
    plot({"random": [ledger]}, 1.0, tmp_path / "curve.png", "a test")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
