"""One place reads the names of trials: numbers, `best` and `champion`, of a named run or of the last one."""

from pathlib import Path

import pytest

from agent.analysis.recorded_trial import Clone, Runs
from agent.errors import UsageError
from agent.store.git_repo import TrialRepo
from agent.store.stored_run import find_trial
from agent.store.trial_name import TrialName, is_trial_name
from agent.trials.repeat import Purpose
from agent.trials.trial import KeepState
from tests.made_runs import BASELINE, Again, made_run, scored, searched

CONFIRMED = [
    BASELINE,
    (searched(0.25), scored(2.5, kept=True)),
    Again(0, scored(3.0), purpose=Purpose.CHAMPION),
    Again(1, scored(2.5), KeepState.REPEATED),
    (searched(0.5), scored(2.4, kept=True)),
]
PROVISIONAL = [BASELINE, (searched(0.25), scored(2.5, kept=True)), (searched(0.5), scored(2.9))]


@pytest.mark.parametrize(
    ("text", "run_id", "which"),
    [("7", None, 7), ("RUN/0012", "RUN", 12), ("best", None, "best"), ("a.b-c_d/champion", "a.b-c_d", "champion")],
)
def test_names_of_trials_are_read(text: str, run_id: str | None, which: int | str) -> None:
    assert TrialName.parse(text) == TrialName(run_id, which)
    assert is_trial_name(text)


@pytest.mark.parametrize("text", ["", "RUN/", "RUN/7/1", "/7", "RUN/last", "Best", "1234567", "abc1234"])
def test_other_words_are_no_names_of_trials(text: str) -> None:
    assert not is_trial_name(text)
    with pytest.raises(UsageError, match="is not a trial; write RUN/7"):
        TrialName.parse(text)


@pytest.mark.parametrize(("results", "best", "champion"), [(CONFIRMED, 1, 1), (PROVISIONAL, 1, 0), ([BASELINE], 0, 0)])
def test_best_and_champion_mean_the_same_here_and_in_a_clone(
    tmp_path: Path, results: list[object], best: int, champion: int
) -> None:
    stored = made_run(tmp_path / "runs", results, all_commits=True)  # type: ignore[arg-type]
    assert [find_trial(stored.runs, f"made/{name}")[1] for name in ("best", "champion")] == [best, champion]
    assert find_trial(stored.runs, "best")[0].run_id == "made"
    for source in (Runs(stored.runs, tmp_path), Clone(TrialRepo(stored.runs.repo), tmp_path)):
        found = [source.trial(f"made/{name}").recorded.commit for name in ("best", "champion")]
        assert found == [stored.hashes[best], stored.hashes[champion]]


def test_without_a_loss_nothing_is_best(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [])
    for name in ("best", "champion"):
        with pytest.raises(UsageError, match=f"no trial with a loss yet, so there is no {name}"):
            find_trial(stored.runs, name)
