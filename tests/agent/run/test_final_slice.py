"""The slice on which a result is published: opened once for it, after all final runs, whatever happens in between."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.edits.assignments import Assignments
from agent.errors import JournalError
from agent.execution.scoring.printed import PrintedScorer
from agent.modes.proposer import Context
from agent.run.ending import End, EndReason
from agent.run.loop import run_trials
from agent.run.one_slice import CHANGED, MAX_BURNED
from agent.run.open_run import Run
from agent.store.journal import read_events
from agent.store.run_config import RunConfig, rule_of
from agent.task.task import Task
from agent.trials.events import RepeatFinished, SliceOpened, SliceScored
from agent.trials.keeping.confirmations import SlicePurpose, SliceUse
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.repeat import Purpose
from agent.trials.trial import Origin, Proposal
from tests.made_slices import ERROR, SILENT, MadeSlices, Sums

FINAL = {"baseline": (0, 0), "champion": (1, 1), "result-100": (1, 100), "result-101": (1, 101)}


@dataclass(frozen=True)
class Script:
    """Proposes SMOOTHING values in turn."""

    values: tuple[float, ...]

    def propose(self, context: Context) -> Proposal:
        value = self.values[context.number - 1]
        return Proposal(Origin.LLM, f"SMOOTHING {value}", Assignments({"SMOOTHING": value}))


OpenedWith = Callable[..., Run]


@pytest.fixture
def slices(tmp_path: Path) -> MadeSlices:
    return MadeSlices(tmp_path / "pool")


@pytest.fixture
def opened(open_run: OpenedWith, bigram: Task, slices: MadeSlices) -> OpenedWith:
    def opened_with(*values: float, n_slices: int = 5) -> Run:
        rule = KeepRule(paired=True, sigma=0.01, lead=4.0, n_slices=n_slices)
        more: dict[str, Any] = dict(trials=len(values) + 1, box=Sums(), slices=slices)
        return open_run(Script(values), rule=rule, final_runs=2, scorer=PrintedScorer(bigram.metric), **more)

    return opened_with


def final(run: Run) -> list[SliceUse]:
    return [use for use in run.history.slices if use.purpose is SlicePurpose.FINAL]


def ended(run: Run) -> End:
    end = run_trials(run)
    run.records.journal.close()
    return end


def interrupted(run: Run, slices: MadeSlices, at: str) -> None:
    """Let the process end where `at` is asked about."""

    def die(label: str) -> None:
        if label == at:
            raise KeyboardInterrupt

    slices.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        run_trials(run)
    run.records.journal.close()
    slices.meanwhile = lambda _label: None


def test_one_slice_is_opened_after_all_final_runs_with_the_hashes_of_what_they_left(
    opened: OpenedWith, slices: MadeSlices
) -> None:
    run = opened(18.0, 19.0)
    assert ended(run).ending is EndReason.DONE
    *before, opening, scoring = read_events(run.paths.journal)
    assert isinstance(opening, SliceOpened)
    assert isinstance(scoring, SliceScored)
    assert [event.seed for event in before[-3:] if isinstance(event, RepeatFinished)] == [100, 101]
    assert {name: (model.trial, model.seed) for name, model in opening.entrants.items()} == FINAL
    assert slices.asked == [(0, ["baseline", "champion", "challenger"]), (1, list(FINAL))]
    trial = run.paths.trial(1)
    content = hashlib.sha256(trial.repeat(101).artifact.read_bytes()).hexdigest()
    hashed = hashlib.sha256(f"artifact\0{content}\n".encode()).hexdigest()
    assert opening.entrants["result-101"].artifact == hashed


def test_the_lead_is_that_of_the_mean_of_all_final_runs(opened: OpenedWith) -> None:
    run = opened(18.0)
    ended(run)
    (use,) = final(run)
    assert use.score is not None
    of_seeds = [1.9 + 0.002 * (seed % 7) for seed in (100, 101)]
    lead = use.score.lead("result", "baseline")
    assert lead == Lead(pytest.approx(2.0 - sum(of_seeds) / 2), ERROR)  # type: ignore[arg-type]
    assert use.score.losses["result-100"] == pytest.approx(of_seeds[0] + use.number / 100)
    assert set(use.score.leads) == {"champion-baseline", "result-baseline"}


def test_killed_while_it_is_open_it_is_asked_about_again(opened: OpenedWith, slices: MadeSlices) -> None:
    interrupted(opened(18.0), slices, "r/slice-001")
    run = opened(18.0)
    assert run.history.opened is not None
    assert run.history.opened.score is None
    ended(run)
    assert slices.asked[1:] == [(1, list(FINAL))] * 2
    (use,) = final(run)
    assert use.score is not None
    assert not use.score.is_burned
    assert [repeat.seed for repeat in run.history.repeats if repeat.purpose is Purpose.FINAL] == [100, 101]


def test_killed_while_it_is_open_it_is_finished_before_the_run_goes_on(opened: OpenedWith, slices: MadeSlices) -> None:
    interrupted(opened(18.0), slices, "r/slice-001")
    run = opened(18.0, 10.0)  # more trials, and a better one
    ended(run)
    assert [(use.number, use.entrants["champion"].trial) for use in final(run)] == [(1, 1), (3, 2)]
    assert all(use.score is not None and not use.score.is_burned for use in final(run))


@pytest.mark.parametrize("n_lines", [1, 2], ids=["before it was scored", "before it was journaled"])
def test_killed_at_another_moment_no_other_slice_is_opened(opened: OpenedWith, n_lines: int) -> None:
    run = opened(18.0)
    ended(run)
    (before,) = final(run)
    lines = run.paths.journal.read_text().splitlines(keepends=True)
    run.paths.journal.write_text("".join(lines[:-n_lines]))
    run = opened(18.0)
    assert ended(run).ending is EndReason.DONE
    assert ended(opened(18.0)).ending is EndReason.NOTHING_RAN
    (after,) = final(run)
    assert (after.number, after.entrants, after.n_other_runs) == (before.number, before.entrants, 0)
    assert after.score is not None
    assert before.score is not None
    assert after.score.leads == before.score.leads


def test_if_a_file_changes_while_it_is_open_it_is_burned_unasked(opened: OpenedWith, slices: MadeSlices) -> None:
    run = opened(18.0)
    interrupted(run, slices, "r/slice-001")
    run.paths.trial(1).repeat(101).artifact.write_text("0.5")
    run = opened(18.0)
    ended(run)
    (use,) = final(run)
    assert use.score is not None
    assert (use.score.burned_by, use.score.reason, use.score.leads) == ("result-101", CHANGED, {})
    assert [number for number, _ in slices.asked] == [0, 1]  # asked about slice 1 before the change alone


def test_a_file_that_is_gone_is_named_and_nothing_is_opened(opened: OpenedWith, slices: MadeSlices) -> None:
    run = opened(18.0)
    interrupted(run, slices, "r/slice-001")
    lines = run.paths.journal.read_text().splitlines(keepends=True)
    run.paths.journal.write_text("".join(lines[:-1]))
    run.paths.trial(1).repeat(100).artifact.unlink()
    with pytest.raises(JournalError, match="seed-100/artifact is missing"):
        run_trials(opened(18.0))
    assert len(slices.asked) == 2


def test_going_on_to_the_same_result_opens_none(opened: OpenedWith, slices: MadeSlices) -> None:
    ended(opened(18.0))
    n_asked = len(slices.asked)
    run = opened(18.0, 19.0, 19.5)
    ended(run)
    assert len(run.history.trials) == 4
    assert len(slices.asked) == n_asked
    assert len(final(run)) == 1


def test_going_on_to_another_result_opens_one_for_that(opened: OpenedWith) -> None:
    ended(opened(18.0))
    run = opened(18.0, 10.0)
    ended(run)
    first, second = final(run)
    assert (first.entrants["champion"].trial, second.entrants["champion"].trial) == (1, 2)
    assert {model.trial for name, model in second.entrants.items() if name != "baseline"} == {2}
    assert first.number != second.number
    assert opened(18.0, 10.0).history.slices[-1] == second  # and is there for good


def test_a_final_run_without_an_answer_burns_the_slice_for_good(opened: OpenedWith, slices: MadeSlices) -> None:
    slices.silent = ["result-100"]
    run = opened(18.0)
    assert ended(run).ending is EndReason.DONE
    (use,) = final(run)
    assert use.score is not None
    assert (use.score.burned_by, use.score.reason, use.score.losses) == ("result-100", SILENT, {})
    slices.silent = []
    ended(opened(18.0))
    assert len(slices.asked) == 2
    assert run.keeper.champion == 1  # what was confirmed stays confirmed


def test_a_baseline_without_an_answer_burns_a_few_slices_and_no_more(opened: OpenedWith, slices: MadeSlices) -> None:
    run = opened(18.0)
    interrupted(run, slices, "r/slice-001")
    slices.silent = ["baseline"]
    run = opened(18.0)
    ended(run)
    assert [use.number for use in final(run)] == [1, 2, 3]
    assert all(use.score is not None and use.score.burned_by == "baseline" for use in final(run))
    assert len(final(run)) == MAX_BURNED
    n_asked = len(slices.asked)
    ended(opened(18.0))
    assert len(slices.asked) == n_asked


def test_with_no_slice_left_the_run_ends_all_the_same(opened: OpenedWith, slices: MadeSlices) -> None:
    slices.n_slices = 1
    run = opened(18.0, n_slices=1)
    assert ended(run).ending is EndReason.DONE
    assert final(run) == []
    assert [number for number, _ in slices.asked] == [0]
    assert [repeat.seed for repeat in run.history.repeats if repeat.purpose is Purpose.FINAL] == [100, 101]


def test_one_slice_is_kept_for_the_result(opened: OpenedWith, slices: MadeSlices) -> None:
    slices.n_slices = 2
    config: dict[str, Any] = dict(run_id="r", mode="random", task_folder="", task_name="", task_digest="")
    kept = rule_of(RunConfig(**config, keep="two-tier", n_slices=slices.n_slices, final_runs=2)).n_slices
    run = opened(18.0, 10.0, n_slices=kept)
    ended(run)
    assert [(use.number, use.purpose.value) for use in run.history.slices] == [(0, "confirm"), (1, "final")]
    assert run.keeper.champion == 1  # trial 2 is lower, and there was no slice to confirm it on


def test_where_the_baseline_is_the_result_none_is_opened(opened: OpenedWith, slices: MadeSlices) -> None:
    run = opened(21.0)
    ended(run)
    assert slices.asked == []
    assert run.history.slices == []
