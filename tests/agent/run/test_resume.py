"""Going on with a run: budgets may be raised, and whatever else would make it another run is refused."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from agent.store.journal import read_history
from tests.agent.llm.fake_server import fake_server, says
from tests.docker_engine import skip_without_docker
from tests.kill_anywhere.killed_runs import INSTANT, Death, Zygote, contents_of

BEGIN = ["run", "--task", str(INSTANT), "--mode", "cma-es", "--name", "r", "--trials"]
IN_TRIAL_2 = Death("after fsync runs/r/journal.jsonl", nth=5)


@pytest.fixture
def agent(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


def test_trials_may_be_raised_and_the_run_goes_on_as_if_it_had_begun_so(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "2") == 0
    assert agent.agent("resume", "r", "--trials", "4") == 0, agent.said
    assert "all 4 trials are done" in agent.said
    assert agent.agent("resume", "r") == 3
    assert "all 4 trials are done" in agent.said
    grown = contents_of(agent.runs, "r")
    raised = [event for event in grown["journal"] if event["event"] == "budget_raised"]
    assert raised == [{"event": "budget_raised", "number": 2, "caps": {"trials": 4}}]
    at_once = agent.within(agent.folder / "at-once")
    assert at_once.agent(*BEGIN, "4") == 0
    assert [event for event in grown["journal"] if event not in raised] == contents_of(at_once.runs, "r")["journal"]


@pytest.mark.parametrize(
    ("options", "told_so"),
    [
        (["--trials", "2"], "--trials 3 → 2"),
        (["--budget", "1h"], "--budget none → 3600"),
        (["--mode", "random"], "--mode cma-es → random"),
        (["--seed", "1", "--sandbox", "docker"], "--seed 0 → 1, --sandbox bubblewrap → docker"),
        (["--model", "gpt-9"], "--model none → gpt-9"),
    ],
)
def test_what_would_make_it_another_run_is_refused_with_the_difference(
    agent: Zygote, options: list[str], told_so: str
) -> None:
    assert agent.agent(*BEGIN, "3", death=IN_TRIAL_2) == -9
    before = agent.runs.run("r").journal.read_bytes()
    assert agent.agent("resume", "r", *options) == 2
    assert told_so in agent.said
    assert len(agent.said.splitlines()) == 1
    assert agent.runs.run("r").journal.read_bytes() == before
    assert agent.agent("resume", "r", "--mode", "cma-es", "--trials", "3") == 0, agent.said


def test_a_task_may_be_moved_but_not_changed(agent: Zygote) -> None:
    task = shutil.copytree(INSTANT, agent.folder / "task")
    begin = ["run", "--task", str(task), "--mode", "random", "--name", "r", "--trials", "3"]
    assert agent.agent(*begin, death=IN_TRIAL_2) == -9
    moved = task.rename(agent.folder / "moved")
    assert agent.agent("resume", "r") == 2
    assert "has no task.toml" in agent.said
    script = moved / "train.py"
    script.write_text(script.read_text().replace("SHIFT = 0.3", "SHIFT = 0.4"))
    assert agent.agent("resume", "r", "--task", str(moved)) == 2
    assert "changed: train.py" in agent.said
    script.write_text(script.read_text().replace("SHIFT = 0.4", "SHIFT = 0.3"))
    assert agent.agent("resume", "r", "--task", str(moved)) == 0, agent.said


def test_other_libraries_than_the_runs_own_are_refused_unless_accepted(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "3", death=IN_TRIAL_2) == -9
    journal = agent.runs.run("r").journal
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if "outcome" in line:
            line["outcome"]["conditions"]["torch"] = "1.0"  # as on the machine where it began
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(agent.runs.repo)  # its commits say it too
    assert agent.agent("resume", "r") == 2
    assert "torch 1.0 → " in agent.said
    assert "--accept-changed torch" in agent.said
    assert agent.agent("resume", "r", "--accept-changed", "torch") == 0, agent.said


@pytest.mark.slow
@pytest.mark.docker
def test_a_run_in_an_image_goes_on_in_the_same_one(agent: Zygote) -> None:
    skip_without_docker()
    task = shutil.copytree(INSTANT, agent.folder / "task")
    with (task / "task.toml").open("a") as file:
        file.write(f'[environment]\npython = "{sys.executable}"\n')
    begin = ["run", "--task", str(task), "--mode", "random", "--name", "r", "--sandbox", "docker", "--trials"]
    assert agent.agent(*begin, "1") == 0, agent.said
    assert agent.agent("resume", "r", "--trials", "2") == 0, agent.said
    journal = agent.runs.run("r").journal
    images = {trial.outcome.image for trial in read_history(journal).trials if trial.outcome}
    (image,) = images
    assert image is not None
    gone = f"sha256:{'0' * 64}"
    journal.write_text(journal.read_text().replace(image, gone))
    assert agent.agent("resume", "r", "--trials", "3") == 2
    assert f"the image {gone} that the run's trials ran in is not on this machine" in agent.said
    assert agent.agent("resume", "r", "--trials", "3", "--accept-changed", "image") == 0, agent.said


def test_all_runs_may_be_moved(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "4", death=IN_TRIAL_2) == -9
    agent.runs.root.rename(agent.folder / "elsewhere")
    assert agent.agent("resume", "r", "--runs", "elsewhere") == 0, agent.said
    (agent.folder / "elsewhere").rename(agent.runs.root)
    unbroken = agent.within(agent.folder / "unbroken")
    assert unbroken.agent(*BEGIN, "4") == 0
    assert contents_of(agent.runs, "r") == contents_of(unbroken.runs, "r")


@pytest.mark.parametrize("file", ["run.json", "journal.jsonl"])
def test_a_later_format_is_refused_by_its_number(agent: Zygote, file: str) -> None:
    assert agent.agent(*BEGIN, "2") == 0
    path = agent.runs.run("r").root / file
    if file == "run.json":
        path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    else:
        path.write_text(path.read_text() + '{"event":"trial_cloned","number":2}\n')
    for command in ("resume", "log"):
        assert agent.agent(command, "r") == 1
        assert ("format 99, but this version reads 1" if file == "run.json" else "line 5: not an event") in agent.said


def test_a_name_that_a_kill_left_before_the_run_began_is_free(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "2", death=Death("before fsync runs/r/run.json.tmp")) == -9
    assert agent.agent(*BEGIN, "2") == 0, agent.said


def test_an_interrupted_trial_is_marked_in_the_log(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "3", death=IN_TRIAL_2) == -9
    assert agent.agent("log", "r") == 0
    assert "interrupted" in agent.said
    assert "`agent resume r` runs it again" in agent.said
    assert agent.agent("resume", "r") == 0
    assert agent.agent("log", "r") == 0
    assert "interrupted" not in agent.said


def test_a_journaled_proposal_is_not_paid_for_again(agent: Zygote) -> None:
    edit = "TITLE: less\n<<<<<<< SEARCH\nSHIFT = 0.3\n=======\nSHIFT = 0.2\n>>>>>>> REPLACE\n"
    probed = says('{"word": "heron"}')
    begin = ["run", "--task", str(INSTANT), "--mode", "code-edit", "--no-smoke", "--keep", "any", "--name", "r"]
    key = {"OPENAI_API_KEY": "k", "OPENAI_MODEL": "fake-1"}
    with fake_server([probed, says(edit), probed]) as server:
        begin += ["--trials", "2", "--base-url", server.base_url]
        assert agent.agent(*begin, death=Death("after fsync runs/r/journal.jsonl", nth=3), **key) == -9
        assert agent.agent("resume", "r", **key) == 0, agent.said
        assert len(server.requests) == 3
    assert "less" in agent.said


def test_a_setting_that_somebody_made_nonsense_is_named(agent: Zygote) -> None:
    assert agent.agent(*BEGIN, "3", death=IN_TRIAL_2) == -9
    path = agent.runs.run("r").run_json
    path.write_text(path.read_text().replace('"final_runs": 0', '"final_runs": "many"'))
    assert agent.agent("resume", "r") == 1
    assert "RunConfig.final_runs should not be 'many'" in agent.said
    assert len(agent.said.splitlines()) == 1
