"""Whole runs on a real Ray: killed, and with a node lost, they have the trials and losses of a run at home."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent import __version__
from agent.execution.placement.on_ray.ray_queue import Ray
from agent.execution.placement.placed_job import Timeouts
from agent.execution.placement.placing import PlacingSandbox
from agent.store.paths import RunsFolder
from agent.task.cluster_table import ClusterSpec
from sandbox.errors import JobLostError, NodeFailedError
from sandbox.node.job_folder import InnerSandbox
from tests.contracts.placer_contract import job_in
from tests.contracts.sandbox_contract import Running, processes_with, wait_until
from tests.on_cluster import OnCluster, as_at_home, patient_bundled_task
from tests.ray_cluster import RayCluster, ray_cluster

BIGRAM = Path(__file__).parent / "tasks" / "bigram_plain"
INSTANT = BIGRAM.parent / "instant"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(n_nodes=2) as cluster:
        yield cluster


@pytest.fixture
def on(cluster: RayCluster, tmp_path: Path) -> OnCluster:
    return OnCluster(tmp_path, f"ray:{cluster.address}", {})


@pytest.mark.long
def test_one_job_and_one_lost_node(cluster: RayCluster, tmp_path: Path) -> None:
    """What CI tries: a job is executed, is lost once with its node, and runs again on the other."""
    marker = uuid.uuid4().hex
    queue = Ray(ClusterSpec(), cluster.address)
    with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=Timeouts(0.5, grace=1.0))) as placer:
        first = job_in(tmp_path, "import time; print('up', flush=True); time.sleep(600)", marker)
        running = Running(placer, {"first": first})
        running.wait_for_log("up")
        (node,) = cluster.busy()
        cluster.lose_node(node)
        running.join("first")
        assert isinstance(running.errors["first"], JobLostError), running.executions
        assert running.errors["first"].node == node
        wait_until(lambda: not processes_with(marker))
        again = job_in(tmp_path, "open('/out/artifact', 'w').write('again')")
        execution = placer.run(again)
        assert execution.exit_code == 0
        assert execution.sandbox.rpartition(" ")[2] != node
        assert (tmp_path / "artifact").read_text() == "again"
    assert "ray" not in sys.modules  # only the driver's process has it
    cluster.start_node(node)


@pytest.mark.long
@pytest.mark.parametrize("what", ["the processes of its jobs first", "all of it at once"])
def test_a_job_on_a_node_that_hangs_before_the_job_starts_is_executed_on_another(
    cluster: RayCluster, tmp_path: Path, what: str
) -> None:
    hanging, other = cluster.nodes
    marker = uuid.uuid4().hex
    cluster.close_nodes(other)
    queue = Ray(ClusterSpec(), cluster.address)
    with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=Timeouts(0.5, grace=1.0))) as placer:
        if what == "all of it at once":
            cluster.cut_off(hanging)
        else:
            cluster.freeze_workers(hanging)
        jobs = {str(n): job_in(tmp_path / str(n), "print('up')", marker, label=f"RUN/{n}/train") for n in range(2)}
        running = Running(placer, jobs)
        if what != "all of it at once":
            wait_until(lambda: cluster.used_processors() == 8 + len(jobs))  # Ray has sent them there
        cluster.cut_off(hanging)
        wait_until(lambda: cluster.alive() == 1)
        later = Running(placer, {"later": job_in(tmp_path / "later", "print('up')", label="RUN/9/train")})
        cluster.open_nodes()
        running.join(*jobs)
        later.join("later")
        cluster.thaw(hanging)
        wait_until(lambda: not processes_with(marker))
        assert running.errors == later.errors == {}
        for execution in (*running.executions.values(), *later.executions.values()):
            assert (execution.exit_code, execution.sandbox.rpartition(" ")[2]) == (0, other)
        assert [job.log.read_text() for job in jobs.values()] == ["up\n"] * len(jobs)
    cluster.start_node(hanging)


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "words"),
    [('__version__ = "9.9"', "has autocentaur 9.9"), ("raise ImportError", "has no autocentaur in the Python of Ray")],
)
def test_a_node_with_another_version_costs_an_attempt_and_gets_no_further_job(
    cluster: RayCluster, tmp_path: Path, source: str, words: str
) -> None:
    node, other = cluster.nodes
    (tmp_path / "modules/agent").mkdir(parents=True)
    (tmp_path / "modules/agent/__init__.py").write_text(source)
    cluster.start_node(node, tmp_path / "modules")
    cluster.close_nodes(other)
    queue, said = Ray(ClusterSpec(), cluster.address), []
    placer = PlacingSandbox(
        queue, InnerSandbox(), tmp_path / "jobs", say=said.append, timeouts=Timeouts(0.5, grace=1.0)
    )
    with closing(placer):
        try:
            with pytest.raises(NodeFailedError) as raised:
                placer.run(job_in(tmp_path, "pass"))
        finally:
            cluster.open_nodes()
        assert raised.value.node == node
        assert f"could not run on node {node}: node {node} {words}, and this run is of {__version__}" in str(
            raised.value
        )
        assert f"pip install 'autocentaur[ray]=={__version__}'" in str(raised.value)
        assert said == [f"no job of this run goes to node {node} for 30.0 min: a sandbox failed there"]
        assert placer.run(job_in(tmp_path, "pass")).sandbox.rpartition(" ")[2] == other
    cluster.start_node(node)


@pytest.mark.long
def test_a_job_that_waits_for_a_processor_is_executed_once_when_another_node_dies(
    cluster: RayCluster, tmp_path: Path
) -> None:
    dying, other = cluster.nodes
    cluster.close_nodes()
    queue = Ray(ClusterSpec(), cluster.address)
    with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=Timeouts(0.5, grace=1.0))) as placer:
        running = Running(placer, {"job": job_in(tmp_path, "print('up')")})
        wait_until(lambda: cluster.waiting() > 0)
        cluster.lose_node(dying)
        wait_until(lambda: cluster.alive() == 1)
        assert running.alive() == {"job"}, running.errors
        cluster.open_nodes()
        running.join("job")
        assert running.executions["job"].sandbox.rpartition(" ")[2] == other
        assert (tmp_path / "log").read_text() == "up\n"
    cluster.start_node(dying)


@pytest.mark.long
def test_jobs_wait_for_a_node_when_all_are_gone_and_the_run_says_so(cluster: RayCluster, tmp_path: Path) -> None:
    queue, said = Ray(ClusterSpec(), cluster.address), []
    timeouts = Timeouts(0.5, grace=1.0, busy=0.2, wait=0.5)
    cluster.close_nodes()
    with closing(
        PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", say=said.append, timeouts=timeouts)
    ) as placer:
        try:
            waiting = Running(placer, {"waiting": job_in(tmp_path / "a", "pass", label="RUN/1/train")})
            wait_until(lambda: any("no node is free" in line for line in said))
            for node in cluster.nodes:
                cluster.lose_node(node)
            wait_until(lambda: any("waits in the cluster's queue: no node of Ray has 1 CPU" in line for line in said))
            later = Running(placer, {"later": job_in(tmp_path / "b", "pass", label="RUN/2/train")})
            wait_until(lambda: any("takes more jobs: no node of Ray has 1 CPU" in line for line in said))
            assert (waiting.alive(), later.alive()) == ({"waiting"}, {"later"})
        finally:
            cluster.open_nodes()
            for node in cluster.nodes:
                cluster.start_node(node)
        waiting.join("waiting")
        later.join("later")
    assert [waiting.executions["waiting"].exit_code, later.executions["later"].exit_code] == [0, 0]


@pytest.mark.long
def test_a_killed_run_that_loses_a_node_has_the_trials_of_one_at_home(on: OnCluster, cluster: RayCluster) -> None:
    as_at_home(on, cluster, ("--task", str(BIGRAM)))
    start_lost_nodes(cluster)


@pytest.mark.long
def test_the_bundled_task_is_the_same_there(on: OnCluster, cluster: RayCluster) -> None:
    as_at_home(on, cluster, ("--task", str(patient_bundled_task(on.folder))), patience=4 * 3600.0)
    start_lost_nodes(cluster)


def start_lost_nodes(cluster: RayCluster) -> None:
    for node in cluster.nodes:
        if not cluster.processes_on(node):
            cluster.start_node(node)


@pytest.mark.long
def test_a_kill_of_the_program_ends_its_jobs_and_they_are_lost_once(cluster: RayCluster, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    job = job_in(tmp_path, "import time; print('up', flush=True); time.sleep(600)", marker)
    program = f"""
        from pathlib import Path
        from tests.test_on_ray import *
        job = job_in(Path({str(tmp_path)!r}), {job.argv[-2]!r}, {marker!r})
        queue = Ray(ClusterSpec(), {cluster.address!r})
        PlacingSandbox(queue, InnerSandbox(), Path({str(tmp_path / "jobs")!r})).run(job)
    """
    killed = subprocess.Popen(
        [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())], cwd=Path(__file__).parents[1]
    )
    wait_until(lambda: killed.poll() is not None or (job.log.exists() and "up" in job.log.read_text()))
    assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_until(lambda: not processes_with(marker))
    queue = Ray(ClusterSpec(), cluster.address)
    with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=Timeouts(0.5, grace=1.0))) as placer:
        with pytest.raises(JobLostError, match="does not know it"):
            placer.run(job)
        assert placer.run(job_in(tmp_path, "pass")).exit_code == 0


@pytest.mark.long
def test_what_a_cluster_cannot_do_is_refused_before_the_first_trial(on: OnCluster) -> None:
    run = ("run", "--task", str(BIGRAM), "--mode", "random", "--trials", "2")
    refused = {
        "ray:nowhere": (2, "write ray:HOST:PORT"),
        "ray:ray://head:10001": (2, "write ray:HOST:PORT"),
        "ray:127.0.0.1:1": (4, "cannot connect to Ray at 127.0.0.1:1"),
    }
    for place, (code, words) in refused.items():
        done = on.completed(*run, "--on", place)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
    for options, words in ((("--gpus", "0"), "gpus = 1 into [cluster]"), (("--sandbox", "docker"), "bubblewrap")):
        done = on.completed(*run, "--on", on.place, *options)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    shutil.copytree(BIGRAM, on.folder / "task")
    with (on.folder / "task/task.toml").open("a") as table:
        table.write("\n[cluster]\nresources = { spot = 1 }\n")
    done = on.completed("run", "--task", "task", *run[3:], "--on", on.place)
    assert (done.returncode, "no node of Ray has" in done.stderr, "1 spot" in done.stderr) == (4, True, True)
    assert not (on.folder / "runs").exists() or not RunsFolder(on.folder / "runs").run_ids()


@pytest.mark.long
def test_an_interrupt_cancels_the_jobs_of_a_run(on: OnCluster, cluster: RayCluster) -> None:
    running = on.start(
        "run", "--task", str(BIGRAM), "--mode", "random", "--trials", "2", "--on", on.place, "--name", "r"
    )
    wait_until(lambda: running.poll() is not None or bool(cluster.busy()))
    assert running.poll() is None, on.said
    running.send_signal(signal.SIGINT)
    assert running.wait() == 130, on.said
    wait_until(lambda: not cluster.busy())
    assert not (on.folder / "runs/r/jobs").exists()
    resumed = on.completed("resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert len(on.trials("r")) == 2


@pytest.mark.long
def test_the_doctor_examines_a_node_by_jobs_there(on: OnCluster) -> None:
    shutil.copytree(INSTANT, on.folder / "task")
    source = (on.folder / "task/train.py").read_text()
    (on.folder / "task/train.py").write_text(f"import not_installed\n{source}")
    done = on.completed("doctor", "--on", on.place, "--task", "task", "--json")
    findings = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
    assert done.returncode == 4
    assert findings["ray"]["verdict"] == "ok"
    assert "has no not_installed" in findings["node: python"]["detail"]
    assert findings["node: gpu"]["verdict"] == "note"
    for name in ("sent files", "clock", "start", "wall_seconds", "memory_gb", "network", "environment"):
        assert findings[f"node: {name}"]["verdict"] == "ok", findings[f"node: {name}"]
    assert not (on.folder / "runs").exists()
