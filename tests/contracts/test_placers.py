"""Every place for jobs keeps the contract: this machine, a real Slurm, and a real Ray."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.execution.placement.job_queue import JobNeeds
from agent.execution.placement.on_ray.ray_queue import Ray
from agent.execution.placement.placed_job import Timeouts
from agent.execution.placement.placing import PlacingSandbox
from agent.execution.placement.queue_waits import read_waits
from agent.execution.placement.slurm import _REMEDY, Slurm
from agent.task.cluster_table import ClusterSpec
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.errors import JobLostError, NodeFailedError, SandboxError
from sandbox.job import Job, Mount, Sandbox, StoppedBy
from sandbox.node.job_folder import InnerSandbox, JobFolder, JobRequest, JobResult, Started
from tests.contracts.local_queue import LocalQueue
from tests.contracts.placer_contract import WALL, LosesNodes, PlacerContract, job_in
from tests.contracts.sandbox_contract import Gate, Running, processes_with, wait_until
from tests.ray_cluster import RayCluster, ray_cluster
from tests.slurm_cluster import INVALID_ACCOUNT, VIOLATES_POLICY, SlurmCluster, slurm_cluster

SLURM_TIMEOUTS = Timeouts(poll=0.5, grace=2.0, busy=0.2, wait=0.5)
RAY_TIMEOUTS = Timeouts(poll=0.5, grace=1.0)
QUICK = Timeouts(poll=0.05, grace=0.5)


class TestHere(PlacerContract):
    @pytest.fixture
    def placer_in(self) -> Callable[[Path], Sandbox]:
        return lambda _folder: BubblewrapSandbox()

    @pytest.fixture
    def placer(self) -> Iterator[Sandbox]:
        with closing(BubblewrapSandbox()) as sandbox:
            yield sandbox


class TestLocalQueue(PlacerContract):
    """A queue of processes here: what a placer does while a queue lies, forgets or does not answer."""

    ON_NODES = True

    @pytest.fixture
    def queue(self) -> LocalQueue:
        return LocalQueue()

    @pytest.fixture
    def placer_in(self, queue: LocalQueue, lines: list[str]) -> Callable[[Path], Sandbox]:
        return lambda folder: PlacingSandbox(queue, InnerSandbox(), folder, say=lines.append, timeouts=QUICK)

    @pytest.fixture
    def placer(self, placer_in: Callable[[Path], Sandbox], tmp_path: Path) -> Iterator[Sandbox]:
        with closing(placer_in(tmp_path / "jobs")) as placer:
            yield placer
        assert not (tmp_path / "jobs").exists()

    def waiting(self, tmp_path: Path) -> tuple[Gate, Job]:
        gate = Gate(tmp_path)
        return gate, job_in(tmp_path, f"print('up', flush=True)\n{gate.WAIT}", mounts=(gate.mount,))

    def test_a_job_that_is_killed_with_its_node_is_lost(
        self, placer: Sandbox, queue: LocalQueue, tmp_path: Path
    ) -> None:
        _, job = self.waiting(tmp_path)
        running = Running(placer, {"job": job})
        running.wait_for_log("up")
        queue.end(signal.SIGKILL)
        running.join("job")
        error = running.errors["job"]
        assert isinstance(error, JobLostError)
        assert (
            error.node,
            "RUN/0007/train gave no result on node local, and the cluster says ENDED" in str(error),
        ) == (
            "local",
            True,
        )

    def test_a_node_whose_sandbox_fails_loses_the_job_and_gets_others_only_if_no_node_is_left(
        self, queue: LocalQueue, lines: list[str], tmp_path: Path
    ) -> None:
        inner = InnerSandbox(python=str(tmp_path / "no-python"))
        with closing(PlacingSandbox(queue, inner, tmp_path / "jobs", say=lines.append, timeouts=QUICK)) as placer:
            for _ in range(2):
                with pytest.raises(NodeFailedError, match=r"could not run on node local: .*no-python") as raised:
                    placer.run(job_in(tmp_path, "pass"))
                assert raised.value.node == "local"
        assert queue.n_started == 2
        assert lines == ["no job of this run goes to node local for 30.0 min: a sandbox failed there"]

    def test_a_node_whose_sandbox_failed_gets_jobs_again_after_a_while(
        self, queue: LocalQueue, lines: list[str], tmp_path: Path
    ) -> None:
        inner, timeouts = InnerSandbox(python=str(tmp_path / "no-python")), replace(QUICK, avoid=0.0)
        with closing(PlacingSandbox(queue, inner, tmp_path / "jobs", say=lines.append, timeouts=timeouts)) as placer:
            for _ in range(2):
                with pytest.raises(NodeFailedError):
                    placer.run(job_in(tmp_path, "pass"))
        assert len(lines) == 2

    def test_the_copy_that_a_job_runs_from_has_time_of_its_own(self, queue: LocalQueue, tmp_path: Path) -> None:
        timeouts = Timeouts(poll=0.05, grace=0.5, overtime=0.2, copying=600.0)
        limits = replace(WALL, wall_seconds=1.0)
        with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=timeouts)) as placer:
            running = Running(placer, {"job": job_in(tmp_path, "pass", limits=limits, apart=True)})
            wait_until(lambda: bool(list((tmp_path / "jobs").glob("*/started.json"))))
            queue.end(signal.SIGSTOP)  # it copies for longer than its limit
            time.sleep(2.0)
            queue.end(signal.SIGCONT)
            running.join("job")
        assert running.errors == {}

    def test_a_node_that_hangs_while_its_job_runs_loses_it(self, queue: LocalQueue, tmp_path: Path) -> None:
        timeouts = Timeouts(poll=0.05, grace=0.5, overtime=0.2, copying=600.0)
        _, job = self.waiting(tmp_path)
        with closing(PlacingSandbox(queue, InnerSandbox(), tmp_path / "jobs", timeouts=timeouts)) as placer:
            running = Running(placer, {"job": replace(job, limits=replace(WALL, wall_seconds=3.0))})
            wait_until(lambda: bool(list((tmp_path / "jobs").glob("*/begun"))))
            queue.end(signal.SIGSTOP)
            running.join("job")
        queue.end(signal.SIGKILL)
        assert isinstance(running.errors["job"], JobLostError)
        assert "0.2 s after its wall limit" in str(running.errors["job"])

    def test_a_file_system_that_fails_for_a_moment_does_not_end_the_run(
        self, placer: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(JobFolder, "request", lambda _self: None)
        assert placer.run(job_in(tmp_path, "pass")).exit_code == 0

    def test_a_submission_without_a_confirmation_is_made_once(
        self, placer: Sandbox, queue: LocalQueue, tmp_path: Path
    ) -> None:
        queue.refuses = 1
        gate, job = self.waiting(tmp_path)
        running = Running(placer, {"job": job})
        running.wait_for_log("up")
        gate.open()
        running.join("job")
        assert (running.executions["job"].exit_code, queue.n_started) == (0, 1)

    def test_a_job_that_the_queue_forgets_is_lost_and_ends(
        self, placer: Sandbox, queue: LocalQueue, tmp_path: Path
    ) -> None:
        _, job = self.waiting(tmp_path)
        running = Running(placer, {"job": job})
        running.wait_for_log("up")
        queue.forgets = True
        running.join("job")
        queue.forgets = False
        wait_until(lambda: not any(state.is_alive for state in queue.states().values()))
        assert isinstance(running.errors["job"], JobLostError)
        assert "does not know it" in str(running.errors["job"])

    def test_a_queue_that_does_not_answer_is_waited_for_and_reported_once(
        self, placer: Sandbox, queue: LocalQueue, lines: list[str], tmp_path: Path
    ) -> None:
        gate, job = self.waiting(tmp_path)
        running = Running(placer, {"job": job})
        running.wait_for_log("up")
        queue.answers = False
        wait_until(lambda: bool(lines))
        later = Running(placer, {"later": job_in(tmp_path / "b", "pass", label="RUN/8/train")})
        gate.open()
        running.join("job")
        assert running.executions["job"].exit_code == 0
        assert later.alive() == {"later"}
        queue.answers = True
        later.join("later")
        assert later.executions["later"].exit_code == 0
        assert lines == ["the cluster does not answer (nobody answers); waiting: jobs go on meanwhile",
                        "the cluster answers again"]  # fmt: skip

    def test_a_rehearsal_of_an_earlier_process_is_not_adopted(self, placer: Sandbox, tmp_path: Path) -> None:
        job = job_in(tmp_path, "pass", label="RUN/0007/smoke")
        request = JobRequest.of(job, InnerSandbox(), needs_gpu=False)
        (tmp_path / "jobs").mkdir()
        earlier = JobFolder(tmp_path / "jobs" / f"RUN-0007-smoke.a1.{request.token[:8]}")
        earlier.create(request)
        assert earlier.start(Started("local", "", 0.0))
        earlier.finish(request.token, JobResult(failed="this was another script"))
        assert placer.run(job).exit_code == 0

    def test_an_error_of_the_caller_leaves_nothing(self, placer: Sandbox, tmp_path: Path) -> None:
        marker = uuid.uuid4().hex

        def fail() -> bool:
            if processes_with(marker):
                raise ZeroDivisionError
            return False

        with pytest.raises(ZeroDivisionError):
            placer.run(job_in(tmp_path, "import time; time.sleep(600)", marker, stop_when=fail))
        assert not processes_with(marker)


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    monkeypatch.setenv("SLURM_CONF", str(running_cluster.configuration))
    running_cluster.wait_until_idle()
    return running_cluster


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.mark.slow
class TestSlurm(PlacerContract, LosesNodes):
    ON_NODES = True

    @pytest.fixture
    def placer_in(self, cluster: SlurmCluster, lines: list[str]) -> Callable[[Path], Sandbox]:
        return lambda folder: PlacingSandbox(
            Slurm(ClusterSpec()), InnerSandbox(), folder, say=lines.append, timeouts=SLURM_TIMEOUTS
        )

    @pytest.fixture
    def placer(self, placer_in: Callable[[Path], Sandbox], tmp_path: Path) -> Iterator[Sandbox]:
        with closing(placer_in(tmp_path / "jobs")) as placer:
            yield placer
        assert not (tmp_path / "jobs").exists()

    def test_no_gpu_is_used_twice_at_once(self, cluster: SlurmCluster, tmp_path: Path) -> None:
        gate = Gate(tmp_path)
        code = f"import glob; print(*glob.glob('/dev/nvidia[0-9]'), 'up', flush=True)\n{gate.WAIT}"
        jobs = {str(n): job_in(tmp_path / str(n), code, label=f"RUN/{n}/train", mounts=(gate.mount,)) for n in range(6)}
        with closing(
            PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), tmp_path / "jobs", gpus=1, timeouts=SLURM_TIMEOUTS)
        ) as placer:
            running = Running(placer, jobs)
            running.wait_for_log("up")
            gate.open()
            running.join(*jobs)
        devices = {name: job.log.read_text().removesuffix(" up\n") for name, job in jobs.items()}
        used = {(devices[name], e.sandbox.rpartition(" ")[2]) for name, e in running.executions.items()}
        assert len(used) == 6, used
        for name, execution in running.executions.items():
            assert f", gpu {devices[name].removeprefix('/dev/nvidia')}, node n" in execution.sandbox

    def test_a_training_job_of_a_killed_process_is_adopted_and_runs_once(
        self, placer_in: Callable[[Path], Sandbox], cluster: SlurmCluster, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path)
        job = job_in(tmp_path, f"import os; print('up', os.urandom(8).hex(), flush=True)\n{gate.WAIT}",
                     mounts=(gate.mount,))  # fmt: skip
        program = f"""
            from pathlib import Path
            from tests.contracts.placer_contract import job_in
            from tests.contracts.test_placers import *
            from sandbox.job import Mount
            job = job_in(Path({str(tmp_path)!r}), {job.argv[-1]!r},
                         mounts=(Mount(Path({str(gate.mount.source)!r}), "/gate", grows=True),))
            PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), Path({str(tmp_path / "jobs")!r})).run(job)
        """
        killed = subprocess.Popen(
            [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())],
            cwd=Path(__file__).parents[2],
        )
        wait_until(lambda: killed.poll() is not None or (job.log.exists() and "up" in job.log.read_text()))
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        before = job.log.read_text()
        with closing(placer_in(tmp_path / "jobs")) as placer:
            running = Running(placer, {"again": job})
            assert running.alive() == {"again"}
            gate.open()
            running.join("again")
        assert running.executions["again"].exit_code == 0
        assert job.log.read_text() == before

    @pytest.mark.parametrize("limit", ["QOSMaxSubmitJobPerUserLimit", "inactive"])
    def test_a_cluster_that_takes_no_more_jobs_is_waited_for_and_reported_once(
        self, placer: Sandbox, cluster: SlurmCluster, lines: list[str], tmp_path: Path, limit: str
    ) -> None:
        if limit == "inactive":
            cluster.set_partition("inactive")
        else:
            cluster.refuse_jobs(VIOLATES_POLICY, limit)
        try:
            placer.check(WALL)  # type: ignore[attr-defined]
            jobs = {str(n): job_in(tmp_path / str(n), "pass", label=f"RUN/{n}/train") for n in range(2)}
            running = Running(placer, jobs)
            wait_until(lambda: len(read_waits(tmp_path / "jobs")) == 2 or running.alive() != set(jobs))
            wait_until(lambda: bool(lines))
            assert running.alive() == set(jobs), running.errors
        finally:
            cluster.accept_jobs()
            cluster.set_partition("up")
        running.join(*jobs)
        assert {execution.exit_code for execution in running.executions.values()} == {0}
        shown = [line for line in lines if "waits until the cluster takes more jobs" in line]
        assert [limit in line for line in shown] == [True], lines
        assert read_waits(tmp_path / "jobs") == {}

    def test_a_job_that_waits_to_be_accepted_can_be_stopped(
        self, placer: Sandbox, cluster: SlurmCluster, lines: list[str], tmp_path: Path
    ) -> None:
        cluster.refuse_jobs(VIOLATES_POLICY, "QOSMaxSubmitJobPerUserLimit")
        try:
            job = job_in(tmp_path, "pass", stop_when=lambda: bool(lines))
            execution = placer.run(job)
        finally:
            cluster.accept_jobs()
        assert (execution.stopped_by, execution.wall_seconds) == (StoppedBy.CALLER, 0.0)

    def test_why_a_job_waits_for_a_node_is_reported_once(
        self, placer: Sandbox, cluster: SlurmCluster, lines: list[str], tmp_path: Path
    ) -> None:
        cluster.set_partition("down")
        try:
            jobs = {str(n): job_in(tmp_path / str(n), "pass", label=f"RUN/{n}/train") for n in range(2)}
            running = Running(placer, jobs)
            wait_until(lambda: len(read_waits(tmp_path / "jobs")) == 2 or running.alive() != set(jobs))
            assert read_waits(tmp_path / "jobs")["RUN/1/train"] == (
                "in the cluster's queue: the partition is down (PartitionDown)"
            )
        finally:
            cluster.set_partition("up")
        running.join(*jobs)
        assert len([line for line in lines if "the partition is down" in line]) == 1, lines
        assert read_waits(tmp_path / "jobs") == {}

    @pytest.mark.parametrize("how", ["drained", "down"])
    def test_a_job_that_waits_for_nodes_out_of_service_says_which_and_how_to_go_on(
        self, placer: Sandbox, cluster: SlurmCluster, lines: list[str], tmp_path: Path, how: str
    ) -> None:
        if how == "drained":
            cluster.close_nodes()
        else:
            for node in cluster.nodes:
                cluster.lose_node(node)
            wait_until(lambda: all(state.startswith("down") for state in cluster.states().values()))
        try:
            running = Running(placer, {"job": job_in(tmp_path, "pass")})
            expected = {
                "drained": "out of service: 4 drained (test)",
                "down": "out of service: 4 down (Not responding)",
            }[how]
            wait_until(lambda: bool(lines) or not running.alive())
            assert lines[0].startswith("RUN/0007/train waits in the cluster's queue: ")
            assert " down, drained or reserved" in lines[0]
            assert lines[0].endswith(f"; {expected}; {_REMEDY}")
            assert read_waits(tmp_path / "jobs")["RUN/0007/train"].endswith(f"; {expected}")
        finally:
            if how == "drained":
                cluster.open_nodes()
            else:
                for node in cluster.nodes:
                    cluster.start_node(node)
        running.join("job")
        assert running.executions["job"].exit_code == 0

    def test_nodes_to_avoid_add_to_those_that_the_task_excludes(self, cluster: SlurmCluster, tmp_path: Path) -> None:
        request = JobRequest.of(job_in(tmp_path, "pass"), InnerSandbox(), needs_gpu=False)
        folder = JobFolder(tmp_path / f"RUN-0007-train.a1.{request.token[:8]}")
        folder.create(request)
        queue = Slurm(ClusterSpec(sbatch=("--exclude=n[1-2]",)))
        queue.submit(folder.path.name, folder.path, JobNeeds(1, 500, 0, 600.0, avoided=("n3",)), lambda: False)
        wait_until(lambda: folder.result(request.token) is not None)
        started = folder.started()
        assert started is not None
        assert started.node == "n4"

    def test_what_the_cluster_refuses_for_good_is_an_error(self, cluster: SlurmCluster, tmp_path: Path) -> None:
        cluster.refuse_jobs(INVALID_ACCOUNT, "no such account")
        try:
            placer = PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), tmp_path / "jobs", timeouts=SLURM_TIMEOUTS)
            with closing(placer), pytest.raises(SandboxError, match=r"Invalid account .*; see \[cluster\]"):
                placer.run(job_in(tmp_path, "pass"))
        finally:
            cluster.accept_jobs()

    def test_what_the_cluster_refuses_is_reported_with_its_words(self, cluster: SlurmCluster, tmp_path: Path) -> None:
        placer = PlacingSandbox(
            Slurm(ClusterSpec(), "nowhere"), InnerSandbox(), tmp_path / "jobs", timeouts=SLURM_TIMEOUTS
        )
        with closing(placer), pytest.raises(SandboxError, match=r"invalid partition specified: nowhere.*\[cluster\]"):
            placer.run(job_in(tmp_path, "pass"))

    def test_a_job_that_was_started_once_does_not_start_again(self, placer: Sandbox, tmp_path: Path) -> None:
        job = job_in(tmp_path, "pass")
        placer.run(job)
        gate = Gate(tmp_path)
        waiting = job_in(tmp_path, f"print('up', flush=True)\n{gate.WAIT}", mounts=(gate.mount,))
        running = Running(placer, {"first": waiting})
        running.wait_for_log("up")
        folder = JobFolder(next((tmp_path / "jobs").iterdir()))
        second = subprocess.run(
            [sys.executable, "-I", "-m", "sandbox.node", folder.path], capture_output=True, check=False
        )
        assert (second.returncode, second.stdout, second.stderr) == (0, b"", b"")
        assert running.alive() == {"first"}
        gate.open()
        running.join("first")
        assert waiting.log.read_text() == "up\n"


@pytest.fixture(scope="module")
def running_ray() -> Iterator[RayCluster]:
    with ray_cluster(n_gpus=2 if os.geteuid() == 0 else 0) as cluster:
        yield cluster


class SharedRay(Ray):
    """A queue that placers do not close, since each new driver has to wait for new processes of Ray."""

    def close(self) -> None:
        """Stay open."""


@pytest.fixture(scope="module")
def ray_queue(running_ray: RayCluster) -> Iterator[Ray]:
    queue = SharedRay(ClusterSpec(), running_ray.address)
    yield queue
    Ray.close(queue)


@pytest.mark.long
class TestRay(PlacerContract, LosesNodes):
    @pytest.fixture
    def cluster(self, running_ray: RayCluster) -> RayCluster:
        return running_ray

    @pytest.fixture
    def placer_in(self, ray_queue: Ray, lines: list[str], tmp_path: Path) -> Callable[[Path], Sandbox]:
        ray_queue.spec = ClusterSpec(shared=(str(tmp_path / "gates"),))  # everything else is sent
        return lambda folder: PlacingSandbox(ray_queue, InnerSandbox(), folder, say=lines.append, timeouts=RAY_TIMEOUTS)

    @pytest.fixture
    def placer(self, placer_in: Callable[[Path], Sandbox], tmp_path: Path) -> Iterator[Sandbox]:
        with closing(placer_in(tmp_path / "jobs")) as placer:
            yield placer
        assert not (tmp_path / "jobs").exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make device files")
    def test_no_gpu_is_used_twice_at_once(self, ray_queue: Ray, placer: Sandbox, tmp_path: Path) -> None:
        gate = Gate(tmp_path)
        code = f"import glob; print(*glob.glob('/dev/nvidia[0-9]'), 'up', flush=True)\n{gate.WAIT}"
        jobs = {str(n): job_in(tmp_path / str(n), code, label=f"RUN/{n}/train", mounts=(gate.mount,)) for n in range(4)}
        with_gpu = PlacingSandbox(ray_queue, InnerSandbox(), tmp_path / "gpus", gpus=1, timeouts=RAY_TIMEOUTS)
        with closing(with_gpu):
            running = Running(with_gpu, jobs)
            running.wait_for_log("up")
            gate.open()
            running.join(*jobs)
        devices = {name: job.log.read_text().removesuffix(" up\n") for name, job in jobs.items()}
        used = {(devices[name], e.sandbox.rpartition(" ")[2]) for name, e in running.executions.items()}
        assert len(used) == 4, used
        for name, execution in running.executions.items():
            assert f", gpu {devices[name].removeprefix('/dev/nvidia')}, node n" in execution.sandbox
        placer.run(job_in(tmp_path, code, mounts=(gate.mount,)))
        assert (tmp_path / "log").read_text() == "up\n"  # a job that asks for none sees none

    def test_a_large_file_comes_back_in_pieces(self, placer: Sandbox, tmp_path: Path) -> None:
        limits = replace(WALL, output_mb=80.0)
        code = "open('/out/artifact', 'wb').write(b''.join(n.to_bytes(4) * 2**18 for n in range(70)))"
        job = job_in(tmp_path, code, limits=limits, stdout=tmp_path / "out")
        assert placer.run(job).output_bytes == 70 * 2**20
        assert (tmp_path / "artifact").read_bytes() == b"".join(n.to_bytes(4) * 2**18 for n in range(70))
        assert (tmp_path / "out").read_bytes() == b""

    def test_what_changes_while_a_job_runs_must_be_shared(self, placer: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        mount = Mount(tmp_path / "elsewhere", "/data", grows=True)
        with pytest.raises(SandboxError, match=r"elsewhere changes while .* so nodes must see it"):
            placer.run(job_in(tmp_path, "pass", mounts=(mount,)))

    def test_what_no_node_has_is_refused_with_what_they_have(self, ray_queue: Ray, tmp_path: Path) -> None:
        ray_queue.spec = ClusterSpec(resources={"spot": 1.0})
        placer = PlacingSandbox(ray_queue, InnerSandbox(), tmp_path / "jobs", timeouts=RAY_TIMEOUTS)
        with closing(placer), pytest.raises(SandboxError, match=r"no node of Ray has .*1 spot, .*: they have .*0 spot"):
            placer.check(WALL)

    def test_a_node_whose_sandbox_fails_gets_no_further_job_while_there_are_others(
        self, ray_queue: Ray, cluster: RayCluster, lines: list[str], tmp_path: Path
    ) -> None:
        ray_queue.spec = ClusterSpec()
        inner = InnerSandbox(python="/nowhere")
        placer = PlacingSandbox(ray_queue, inner, tmp_path / "jobs", say=lines.append, timeouts=RAY_TIMEOUTS)
        with closing(placer):
            nodes = []
            for _ in range(len(cluster.nodes) + 1):
                with pytest.raises(NodeFailedError, match="/nowhere") as raised:
                    placer.run(job_in(tmp_path, "pass"))
                nodes.append(raised.value.node)
        assert sorted(nodes[:-1]) == sorted(cluster.nodes)
        assert len(lines) == len(cluster.nodes)
