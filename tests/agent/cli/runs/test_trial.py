"""The commands about trials take every name of a trial; a diff goes from its first trial to its second."""

import json
from pathlib import Path

import pytest

from tests.kill_anywhere.killed_runs import Zygote
from tests.made_runs import BASELINE, made_run, scored, searched

RESULTS = [BASELINE, (searched(0.25), scored(2.5, kept=True)), (searched(0.5), scored(2.9))]


@pytest.fixture
def at(warm: Zygote, tmp_path: Path) -> Zygote:
    made_run(tmp_path / "runs", RESULTS, all_commits=True)
    return warm.within(tmp_path)


def output_of(at: Zygote, *argv: str, code: int = 0) -> str:
    assert at.agent(*argv) == code, at.said
    assert "Traceback" not in at.said
    return at.said


@pytest.mark.parametrize(("name", "number"), [("best", 1), ("made/best", 1), ("champion", 0), ("made/2", 2)])
def test_each_command_about_a_trial_takes_each_name(at: Zygote, name: str, number: int) -> None:
    assert json.loads(output_of(at, "show", name, "--json"))["number"] == number
    assert json.loads(output_of(at, "diff", name, "--json"))["new"] == f"made/{number:04d}"
    assert [trial["number"] for trial in json.loads(output_of(at, "log", name, "--json"))["trials"]] == [number]
    assert f"\nmade/{number}: made.html#t0/{number}\n" in output_of(at, "report", name, "--force")
    rows = [line.split()[0] for line in output_of(at, "log", name).splitlines()[2:] if line[:5].strip()]
    assert rows[0] == str(number)
    assert "has no trial 9" in output_of(at, "log", "9", code=2)


def test_a_diff_goes_from_the_first_trial_to_the_second_as_in_git(at: Zygote) -> None:
    forth, back = output_of(at, "diff", "1", "2"), output_of(at, "diff", "made/2", "best")
    assert ("-MIX = 0.25" in forth, "+MIX = 0.5" in forth) == (True, True)
    assert ("-MIX = 0.5" in back, "+MIX = 0.25" in back) == (True, True)
    document = json.loads(output_of(at, "diff", "champion", "2", "--json"))
    assert (document["old"], document["new"]) == ("made/0000", "made/0002")
    assert "no difference between made/0001 and made/0001" in output_of(at, "diff", "1", "1")


def test_a_run_may_have_the_name_of_a_trial(at: Zygote) -> None:
    made_run(at.runs.root, [BASELINE], name="best")
    assert output_of(at, "log", "best").startswith("run best\n")
    assert json.loads(output_of(at, "show", "made/best", "--json"))["number"] == 1
