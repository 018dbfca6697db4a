"""What a client reads about the last trials is what a model reads of them: bounded, rounded and as data."""

from dataclasses import replace
from pathlib import Path

from agent.server.verdicts import LatestTrials, latest_trials
from tests.agent.modes.run_so_far import BRIEFING
from tests.agent.report.test_reintroduced import RESULTS, written
from tests.made_runs import BASELINE, Result, made_run, scored


def test_before_the_run_has_started_there_is_nothing() -> None:
    assert latest_trials(None, BRIEFING) == LatestTrials()


def test_the_last_trials_come_with_what_was_observed_and_what_was_tried_before(tmp_path: Path) -> None:
    found = latest_trials(made_run(tmp_path / "runs", RESULTS, mode="submitted"), BRIEFING)
    assert [text.splitlines()[0].partition(":")[0] for text in found.latest] == ["0", "1", "2"]
    assert "memory 0.5 of 2 GiB" in found.latest[1]
    assert "2 of its 2 new lines had been in rejected trial 1" in found.latest[2]
    assert (found.stretch, found.tried_since) == ("", ())


def test_after_a_long_stretch_the_kinds_tried_are_listed(tmp_path: Path) -> None:
    results: list[Result] = [BASELINE, *((written(f"idea {n % 2}", f"x = {n}"), scored(4.0)) for n in range(20))]
    found = latest_trials(made_run(tmp_path / "runs", results, mode="submitted"), BRIEFING)
    assert "so far: 20 trials" in found.stretch
    assert found.tried_since == ("10x idea 0", "10x idea 1")
    assert len(found.latest) == 5


def test_losses_are_rounded_where_they_could_reveal_labels(tmp_path: Path) -> None:
    exact = replace(scored(4.123456789), reported={})
    results: list[Result] = [BASELINE, (written("a", "first = 1"), exact)]
    plain, rounded = (
        latest_trials(
            made_run(tmp_path / str(is_rounded), results, options={"rounded": is_rounded, "noise_sigma": 0.1}), BRIEFING
        )
        for is_rounded in (False, True)
    )
    assert "4.1235" in plain.latest[1]
    assert "4.1235" not in rounded.latest[1]
