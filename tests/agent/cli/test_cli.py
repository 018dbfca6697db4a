"""The command as users call it: a process, its output, its exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests import commands

TASKS = Path(__file__).parents[2] / "tasks"
BIGRAM, INSTANT = TASKS / "bigram_plain", TASKS / "instant"
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    own = {"HOME": str(tmp_path), "AUTOCENTAUR_CACHE": str(cache), "AUTOCENTAUR_TRUST": "1"}
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own}


@pytest.fixture
def agent(environment: dict[str, str], tmp_path: Path) -> Agent:
    """Return a function that runs `agent ARGS` in a folder of its own."""

    def run(*args: str, **extra: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=tmp_path, env={**environment, **extra})

    return run


@pytest.fixture
def started(environment: dict[str, str], tmp_path: Path) -> Agent:
    """Return a function that does the same by starting Python: for what happens while it imports."""

    def run(*args: str, **extra: str) -> CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *args]
        return subprocess.run(
            command, cwd=tmp_path, env={**environment, **extra}, capture_output=True, text=True, check=False
        )

    return run


def search(agent: Agent, *args: str, task: Path = INSTANT) -> CompletedProcess[str]:
    return agent("run", "--task", str(task), "--name", "r", "--mode", "random", "--trials", "3", *args)


def one_line_error(done: CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()
    assert len(last) == 1, done.stderr
    return last[0]


def test_a_run_from_start_to_the_reading_commands(agent: Agent, started: Agent, tmp_path: Path) -> None:
    done = search(started, task=BIGRAM)
    assert done.returncode == 0, done.stderr
    assert "run r: mode random, task bigram (small), 4 steps a trial, budget: cooperative" in done.stdout
    assert "all 3 trials are done" in done.stdout
    assert "\x1b" not in done.stdout  # no terminal, no colours
    assert (tmp_path / "runs" / ".gitignore").read_text().startswith("*")

    listing = json.loads(started("log", "--json").stdout)
    assert [trial["number"] for trial in listing["trials"]] == [0, 1, 2]
    assert set(listing["trials"][1]) >= {
        "number", "status", "kept", "val_loss", "origin", "copied_from", "title", "params", "commit", "parent", "seed",
        "train_seconds", "wall_seconds", "peak_memory_gb", "peak_vram_gb", "score",
    }  # fmt: skip
    assert listing["trials"][0]["origin"] == "baseline"
    assert listing["trials"][2]["origin"] == "searcher"
    assert len(agent("log", "--graph").stdout.splitlines()) >= 9

    shown = agent("show", "r/1").stdout
    assert "changed parameters:" in shown
    assert "end of the training log:" in shown
    alone = json.loads(agent("show", "1", "--json").stdout)
    more = {name: alone.pop(name) for name in ("version", "metric", "published", "script", "script_is_cut", "log")}
    assert (more["version"], more["metric"]) == (1, {"name": "val_bpb", "goal": "minimise"})
    assert alone == listing["trials"][1]
    assert "MIX = " in more["script"]
    assert more["log"].startswith("  step ")
    assert not more["script_is_cut"]
    assert [trial["number"] for trial in json.loads(agent("log", "--json", "--last", "2").stdout)["trials"]] == [1, 2]
    assert agent("diff", "r/1").stdout.startswith("diff --git a/train.py b/train.py")
    assert "-" in agent("diff", "r/1", "r/2").stdout
    best = min((trial for trial in listing["trials"]), key=lambda trial: trial["val_loss"])
    assert json.loads(agent("best", "--json").stdout)["number"] == best["number"]


def test_json_of_a_run_is_one_document(agent: Agent) -> None:
    done = search(agent, "--json")
    document = json.loads(done.stdout)
    assert document["end"] == "done"
    assert len(document["trials"]) == 3
    assert all(trial["commit"] for trial in document["trials"])
    assert all(trial["loss"] == trial["value"] for trial in document["trials"])  # under its own name too


def test_seed_and_number_decide_a_random_run(agent: Agent) -> None:
    params = []
    for name in ("a", "b"):
        agent("run", "--task", str(INSTANT), "--name", name, "--mode", "random", "--trials", "3", "--seed", "5")
        params.append([trial["params"] for trial in json.loads(agent("log", name, "--json").stdout)["trials"]])
    assert params[0] == params[1]


def test_noise_repeats_the_baseline_under_other_seeds(agent: Agent) -> None:
    done = agent("noise", "--task", str(BIGRAM), "--seeds", "3", "--name", "n")
    assert done.returncode == 0, done.stderr
    assert "over 3 training seeds" in done.stdout
    trials = json.loads(agent("log", "n", "--json").stdout)["trials"]
    assert [trial["seed"] for trial in trials] == [0, 1, 2]
    assert [trial["kept"] for trial in trials] == [True, False, False]
    assert len({trial["val_loss"] for trial in trials}) == 3


def test_a_spent_budget_exits_with_3(agent: Agent) -> None:
    search(agent)
    output = one_line_error(agent("resume", "r"), 3)
    assert output == "error: all 3 trials are done; give `agent resume r` a higher --trials, --budget or --wall"


def test_a_run_that_is_not_the_last_is_named_in_what_to_do_next(agent: Agent) -> None:
    begin = ("run", "--task", str(INSTANT), "--mode", "random", "--trials", "1", "--name")
    assert "next: agent show r/0 · agent report · agent log --graph · agent best\n" in agent(*begin, "r").stdout
    agent(*begin, "later")
    done = agent("resume", "r", "--trials", "2")
    assert "next: agent show r/1 · agent report r · agent log r --graph · agent best r\n" in done.stdout


def test_a_file_that_cannot_be_written_is_one_line(agent: Agent) -> None:
    assert "cannot write to /proc/runs: No such file" in one_line_error(search(agent, "--runs", "/proc/runs"), 2)
    agent("run", "--task", str(INSTANT), "--mode", "random", "--trials", "1")
    assert "cannot create a folder beside /proc/out" in one_line_error(agent("export", "--out", "/proc/out"), 2)
    assert "cannot write no/page.html: No such file" in one_line_error(agent("report", "--out", "no/page.html"), 2)
    assert "cannot write no/p.png: No such file" in one_line_error(agent("report", "--png", "no/p.png"), 2)


@pytest.mark.parametrize("mode", ["tpe", "local", "local-gp", "cma-es", "optuna:RandomSampler"])
def test_every_searcher_runs_new_configurations(agent: Agent, mode: str) -> None:
    done = agent("run", "--task", str(INSTANT), "--mode", mode, "--name", "r", "--trials", "3", "--json")
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["origin"] for trial in trials] == ["baseline", "searcher", "searcher"]
    assert len({json.dumps(trial["params"], sort_keys=True) for trial in trials}) == 3


@pytest.mark.parametrize("sampler", ["NoSuchSampler", ""])
def test_a_sampler_that_optuna_lacks_is_refused(agent: Agent, sampler: str) -> None:
    output = one_line_error(agent("run", "--task", str(BIGRAM), "--mode", f"optuna:{sampler}"), 2)
    assert f"Optuna has no sampler {sampler!r}; choose one of " in output


def test_a_run_gets_a_name_by_itself_in_any_mode(agent: Agent, tmp_path: Path) -> None:
    done = agent("run", "--task", str(INSTANT), "--mode", "optuna:RandomSampler", "--trials", "1", "--json")
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)["run"]
    assert name.endswith("-optuna-RandomSampler-s0")
    assert (tmp_path / "runs" / name).is_dir()


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["run", "--mode", "annealing"], "there is no such mode"),
        (["run", "--task", str(BIGRAM), "--mode", "optuna:BruteForceSampler"], "cannot search this space: Float"),
        (["run", "--task", "/nowhere"], "has no task.toml"),
        (["run", "--task", str(BIGRAM), "--profile", "tpu"], "there is no profile 'tpu'"),
        (["run", "--task", str(BIGRAM), "--budget", "soon"], "is not a duration"),
        (["run", "--task", str(BIGRAM), "--trials", "0"], "--trials: it should be 1 or more"),
        (["run", "--task", str(BIGRAM), "--name", "../x"], "--name '../x'"),
        (
            ["run", "--task", str(BIGRAM), "--sandbox", "chroot"],
            "--sandbox chroot: there is no such sandbox; there are bubblewrap, docker",
        ),
        (["run", "--task", str(BIGRAM), "--mode", "code-edit", "--model", "gpt-9"], "no endpoint is known"),
        (["run", "--trials", "x"], "Invalid value for '--trials': it should be a whole number, not 'x' (see"),
        (["run", "--bogus"], "`agent run` has no option --bogus"),
        (["log"], "there is no run in"),
        (["show", "seven"], "is not a trial"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    agent: Agent, tmp_path: Path, args: list[str], what: str
) -> None:
    assert what in one_line_error(agent(*args), 2)
    assert not (tmp_path / "runs").exists()


def test_a_missing_recording_is_reported_before_anything_is_written(agent: Agent, tmp_path: Path) -> None:
    done = agent("run", "--task", str(BIGRAM), "--mode", "code-edit", "--model", "replay:no.jsonl")
    assert "there is no recording" in one_line_error(done, 4)
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_taken_is_refused(agent: Agent) -> None:
    search(agent)
    assert "the name r is taken" in one_line_error(search(agent), 2)


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "thesis.tex").write_text("precious")
    assert "holds files that are not runs" in one_line_error(search(agent), 2)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["thesis.tex"]


def test_a_task_that_changed_is_not_resumed(agent: Agent, tmp_path: Path) -> None:
    task = shutil.copytree(BIGRAM, tmp_path / "task")
    agent("run", "--task", str(task), "--name", "r", "--mode", "random", "--trials", "2")
    (task / "train.py").write_text((task / "train.py").read_text().replace("MIX = 0.5", "MIX = 0.6"))
    assert "has changed since r began" in one_line_error(agent("resume", "r"), 2)


def test_a_baseline_that_fails_ends_the_run_with_its_log(agent: Agent, tmp_path: Path) -> None:
    task = shutil.copytree(BIGRAM, tmp_path / "task")
    (task / "train.py").write_text((task / "train.py").read_text() + "\nraise RuntimeError('no such device')\n")
    done = agent("run", "--task", str(task), "--name", "r", "--mode", "random", "--trials", "2")
    assert done.returncode == 1
    assert "/runs/r/trials/0000/train.log" in done.stderr
    assert "RuntimeError: no such device" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: the baseline has no loss: crashed")


def test_a_missing_git_is_reported_with_the_remedy(started: Agent, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = search(lambda *args: started(*args, PATH=str(tmp_path / "bin")))
    assert "install git" in one_line_error(done, 4)


def test_git_variables_of_the_caller_lead_nowhere(started: Agent, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    subprocess.run(["git", "init", "-q", str(theirs)], check=True)
    before = sorted(path for path in theirs.rglob("*") if path.is_file())
    done = search(
        lambda *args: started(*args, GIT_DIR=str(theirs / ".git"), GIT_WORK_TREE=str(theirs), GIT_INDEX_FILE="/x/y")
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path for path in theirs.rglob("*") if path.is_file()) == before


def begun(environment: dict[str, str], folder: Path, trials: int = 5000) -> subprocess.Popen[str]:
    """Start a long run in the background and wait until its second trial is under way."""
    command = [sys.executable, "-m", "agent", "run", "--task", str(INSTANT), "--name", "r", "--mode", "random"]
    process = subprocess.Popen(
        [*command, "--trials", str(trials)],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    journal = folder / "runs" / "r" / "journal.jsonl"
    while not (journal.exists() and journal.read_text().count("\n") >= 3):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_in_order_and_goes_on(
    agent: Agent, environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    process = begun(environment, tmp_path)
    process.send_signal(number)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert "interrupted; continue with `agent resume r`" in output
    assert errors == ""
    before = json.loads(agent("log", "--json").stdout)["trials"]
    resumed = subprocess.Popen(
        [sys.executable, "-m", "agent", "resume", "r"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    n_finished = sum(trial["status"] is not None for trial in before)
    while (tmp_path / "runs" / "r" / "journal.jsonl").read_text().count('"trial_finished"') < n_finished + 2:
        assert resumed.poll() is None
        time.sleep(0.05)
    resumed.kill()
    resumed.wait()
    after = json.loads(agent("log", "--json").stdout)["trials"]
    assert [trial["params"] for trial in after[: len(before)]] == [trial["params"] for trial in before]


def test_two_processes_on_one_run_are_refused_with_the_pid(
    agent: Agent, environment: dict[str, str], tmp_path: Path
) -> None:
    process = begun(environment, tmp_path)
    try:
        assert f"another process (pid {process.pid})" in one_line_error(agent("resume", "r"), 2)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=600)


@pytest.mark.slow
def test_doctor_proves_the_limits_by_jobs(agent: Agent) -> None:
    done = agent("doctor", "--task", str(BIGRAM), "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    for limit in ("network", "memory_gb", "processes", "wall_seconds", "output_mb", "environment"):
        assert findings[f"limit: {limit}"]["verdict"] == "ok"
    assert findings["task"]["verdict"] == "ok"
    assert findings["git"]["verdict"] == "ok"


def test_doctor_names_what_is_missing_and_exits_with_4(agent: Agent, tmp_path: Path) -> None:
    done = agent("doctor", "--task", str(tmp_path))
    assert done.returncode == 4
    assert "MISSING task" in done.stdout
    assert "has no task.toml" in done.stdout
