"""Whole runs on a real Slurm: killed, and with a node lost, they have the trials and losses of a run at home."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.store.paths import RunsFolder
from tests.contracts.sandbox_contract import wait_until
from tests.on_cluster import OnCluster, as_at_home, patient_bundled_task
from tests.slurm_cluster import QUEUE_FULL, SlurmCluster, slurm_cluster

BIGRAM = Path(__file__).parent / "tasks" / "bigram_plain"
INSTANT = BIGRAM.parent / "instant"
DIGITS = Path(__file__).parents[1] / "examples" / "digits"


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def on(cluster: SlurmCluster, tmp_path: Path) -> Iterator[OnCluster]:
    with closing(OnCluster(tmp_path, "slurm", {"SLURM_CONF": str(cluster.configuration)})) as on:
        yield on


@pytest.mark.slow
def test_a_killed_run_that_loses_a_node_has_the_trials_of_one_at_home(on: OnCluster, cluster: SlurmCluster) -> None:
    as_at_home(on, cluster, ("--task", str(BIGRAM)))


@pytest.mark.long
def test_the_bundled_task_is_the_same_there(on: OnCluster, cluster: SlurmCluster) -> None:
    as_at_home(on, cluster, ("--task", str(patient_bundled_task(on.folder))), patience=4 * 3600.0)


@pytest.mark.slow
def test_nodes_whose_sandbox_fails_cost_attempts_and_end_the_run_only_when_all_do(
    on: OnCluster, cluster: SlurmCluster
) -> None:
    first, *others = cluster.nodes  # Slurm gives jobs to the first that is free
    cluster.break_sandbox(first)
    run = ("run", "--task", str(INSTANT), "--mode", "random", "--trials", "4", "--name", "r", "--no-confirm")
    done = on.completed(*run, "--on", "slurm", "--workers", "2")
    assert done.returncode == 0, done.stderr
    lost = [lost for trial in on.history("r").trials for lost in trial.lost]
    assert [f"could not run on node {first}: " in each.reason for each in lost] == [True] * len(lost)
    assert 1 <= len(lost) <= 2  # at most one for each worker
    assert f"no job of this run goes to node {first} for 30.0 min" in done.stdout + done.stderr

    for node in others:
        cluster.break_sandbox(node)
    stopped = on.completed("resume", "r", "--trials", "6")
    assert stopped.returncode == 4, stopped.stdout + stopped.stderr
    output = " ".join((stopped.stdout + stopped.stderr).split())
    assert re.search(r"trial [45] was lost 3 times in a row, on n[1-4](, n[1-4])*; at last: ", output), output
    assert "continue with `agent resume r`" in output
    assert "Traceback" not in output
    for node in cluster.nodes:
        cluster.mend_sandbox(node)
    resumed = on.completed("resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert len(on.trials("r")) == 6


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_refused_before_the_first_trial(
    on: OnCluster, cluster: SlurmCluster, tmp_path: Path
) -> None:
    run = ("run", "--task", str(BIGRAM), "--mode", "random", "--trials", "2")
    refused = {
        "slurm:nowhere": (4, "invalid partition specified: nowhere"),
        "slurm:a b": (2, "write slurm:PARTITION"),
        "here:x": (2, "write here"),
        "slrum": (2, "slurm"),
    }
    for place, (code, words) in refused.items():
        done = on.completed(*run, "--on", place)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
    for options, words in (
        (("--gpus", "0"), "gpus = 1 into [cluster]"),
        (("--sandbox", "docker"), "use --sandbox bubblewrap"),
    ):
        done = on.completed(*run, "--on", "slurm", *options)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "runs").exists() or not RunsFolder(tmp_path / "runs").run_ids()


@pytest.mark.slow
def test_a_run_goes_on_in_another_part_of_the_cluster_and_nowhere_else(on: OnCluster, tmp_path: Path) -> None:
    done = on.completed(
        "run", "--task", str(BIGRAM), "--mode", "random", "--trials", "1", "--on", "slurm", "--name", "r"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "runs/r/run.json").read_text())["config"]["on"] == "slurm"
    elsewhere = on.completed("resume", "r", "--trials", "2", "--on", "here")
    assert elsewhere.returncode == 2
    assert "began with --on slurm" in elsewhere.stderr
    moved = on.completed("resume", "r", "--trials", "2", "--on", "slurm:main", "--workers", "2")
    assert moved.returncode == 0, moved.stderr
    assert len(on.trials("r")) == 2
    without = subprocess.run(
        [sys.executable, "-m", "agent", "resume", "r", "--trials", "3"],
        cwd=tmp_path, env={**on.env, "PATH": "/nowhere"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert without.returncode == 4
    assert "this machine has no sbatch, squeue, scancel" in without.stderr


@pytest.mark.slow
def test_an_interrupt_cancels_the_jobs_of_a_run(on: OnCluster, cluster: SlurmCluster, tmp_path: Path) -> None:
    cluster.close_nodes()
    running = on.start(
        "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--on", "slurm", "--name", "r"
    )
    wait_until(lambda: running.poll() is not None or bool(cluster.waiting()))
    assert running.poll() is None, on.said
    running.send_signal(signal.SIGINT)
    assert running.wait() == 130, on.said
    assert cluster.waiting() == []
    assert not (tmp_path / "runs/r/jobs").exists()
    cluster.open_nodes()
    resumed = on.completed("resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert len(on.trials("r")) == 2


@pytest.mark.slow
def test_an_interrupt_while_the_queue_is_full_leaves_no_job(
    on: OnCluster, cluster: SlurmCluster, tmp_path: Path
) -> None:
    cluster.refuse_jobs(QUEUE_FULL, "too many jobs")
    running = on.start(
        "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--on", "slurm", "--name", "r"
    )
    wait_until(lambda: running.poll() is not None or bool(list((tmp_path / "runs").glob("r/jobs/*/job.json"))))
    assert running.poll() is None, on.said
    running.send_signal(signal.SIGINT)
    assert running.wait() == 130, on.said
    cluster.accept_jobs()
    assert cluster.waiting() == cluster.busy() == []
    assert not (tmp_path / "runs/r/jobs").exists()
    resumed = on.completed("resume", "r")
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
def test_the_doctor_examines_a_node_by_jobs_there(on: OnCluster, cluster: SlurmCluster, tmp_path: Path) -> None:
    shutil.copytree(INSTANT, tmp_path / "task")
    with (tmp_path / "task/task.toml").open("a") as table:
        table.write("\n[cluster]\ngpus = 1\n")
    source = (tmp_path / "task/train.py").read_text()
    (tmp_path / "task/train.py").write_text(f"import not_installed\n{source}")
    done = on.completed("doctor", "--on", "slurm", "--task", "task", "--json")
    findings = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
    assert done.returncode == 4
    assert findings["slurm"]["verdict"] == "ok"
    assert (findings["node: python"]["verdict"], "has no not_installed" in findings["node: python"]["detail"]) == (
        "missing",
        True,
    )
    for name in ("shared files", "gpu", "clock", "start", "wall_seconds", "memory_gb", "network", "environment"):
        assert findings[f"node: {name}"]["verdict"] == "ok", findings[f"node: {name}"]
    assert not (tmp_path / "runs").exists()
    refused = on.completed("doctor", "--on", "slurm:nowhere", "--task", "task", "--json")
    findings = {each["what"]: each for each in json.loads(refused.stdout)["findings"]}
    assert findings["slurm"]["verdict"] == "missing"
    assert "invalid partition" in findings["slurm"]["detail"]
    assert "task.toml" in findings["slurm"]["remedy"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["its job waits", "its job runs"])
def test_a_doctor_that_is_interrupted_leaves_nothing(
    on: OnCluster, cluster: SlurmCluster, tmp_path: Path, when: str
) -> None:
    left = tmp_path / "runs" / ".doctor-of-a-killed-one"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    if when == "its job waits":
        cluster.close_nodes()
    running = on.start("doctor", "--on", "slurm", "--task", str(INSTANT))
    wait_until(lambda: running.poll() is not None or bool(cluster.waiting() or cluster.busy()))
    assert running.poll() is None, on.said
    running.send_signal(signal.SIGINT)
    assert running.wait() == 130, on.said
    assert list((tmp_path / "runs").iterdir()) == []
    assert cluster.waiting() == []
    wait_until(lambda: not cluster.busy())
    assert "Traceback" not in on.said


@pytest.mark.slow
def test_a_comparison_has_the_results_of_one_at_home(on: OnCluster, cluster: SlurmCluster, tmp_path: Path) -> None:
    common = ("--task", str(INSTANT), "--modes", "random,tpe", "--seeds", "1", "--trials", "3", "--no-confirm")
    running = on.start("compare", *common, "--name", "far", "--on", "slurm", "--workers", "2")
    journal = tmp_path / "runs/far-random-s0/journal.jsonl"
    wait_until(lambda: running.poll() is not None or (journal.exists() and bool(on.history("far-random-s0").by_finish)))
    running.kill()
    running.wait()
    resumed = on.completed("compare", "--resume", "far")
    assert resumed.returncode == 0, resumed.stderr
    at_home = on.completed("compare", *common, "--name", "home")
    assert at_home.returncode == 0, at_home.stderr
    for mode in ("random", "tpe"):
        assert len(on.trials(f"far-{mode}-s0")) == 3
        if mode == "random":  # the points of tpe depend on the order in which trials end
            assert on.trials(f"far-{mode}-s0") == on.trials(f"home-{mode}-s0")
        assert not (tmp_path / f"runs/far-{mode}-s0/jobs").exists()
        place = json.loads((tmp_path / f"runs/far-{mode}-s0/run.json").read_text())["config"]["on"]
        assert place == "slurm"
    assert cluster.waiting() == []


@pytest.mark.slow
def test_gains_on_rows_are_confirmed_there_on_the_examples_of_a_run_at_home(on: OnCluster, tmp_path: Path) -> None:
    on.env["AUTOCENTAUR_CACHE"] = str(tmp_path / "cache")
    shutil.copytree(DIGITS, tmp_path / "task", ignore=shutil.ignore_patterns("__pycache__"))
    text = (tmp_path / "task/task.toml").read_text()
    text = text.replace("amount = 2000", "amount = 400\ncpu_factor = 30").partition("[space]")[0]
    space = '[space]\nLEARNING_RATE = { type = "float", low = 0.0005, high = 0.25, log = true }\n'
    values = f"{text}[values]\nLEARNING_RATE = 0.0005\n\n[noise]\nsigma = 0.01\n\n{space}"
    (tmp_path / "task/task.toml").write_text(values)
    run = ("run", "--task", "task", "--mode", "random", "--trials", "4")
    leads = {}
    for name, place in (("far", ("--on", "slurm")), ("home", ())):
        done = on.completed(*run, "--name", name, *place)
        assert done.returncode == 0, done.stdout + done.stderr
        events = map(json.loads, (tmp_path / f"runs/{name}/journal.jsonl").read_text().splitlines())
        scores = [event["score"] for event in events if event["event"] == "slice_scored"]
        assert all(not score.get("burned_by") for score in scores)
        leads[name] = [score["leads"]["challenger-baseline"] for score in scores if score["leads"]]
    assert leads["far"]  # on other slices than at home, since each is opened once
    assert all(mean > 2 * error > 0 for mean, error in leads["far"])
    assert on.trials("far") == on.trials("home")
