"""What every place for jobs promises, beside the contract of a sandbox: jobs at once, and no job mistaken for another.

A provider subclasses `PlacerContract` and gives the fixture `placer`; where a node can be lost, it subclasses
`LosesNodes` too.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import JobLostError, SandboxError
from sandbox.job import Execution, Job, Limits, Mount, Sandbox, StoppedBy
from tests.contracts.sandbox_contract import Gate, Running, processes_with, python, wait_until

WALL = Limits(wall_seconds=600.0, memory_gb=0.25, output_mb=4.0, log_mb=0.1)


def job_in(folder: Path, code: str, *arguments: str, label: str = "RUN/0007/train", **more: Any) -> Job:
    """Return a job whose files are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "artifact"
    return Job(python(code, *arguments), label, **{"limits": WALL, "log": folder / "log", "output": output, **more})


class PlacerContract:
    """Each case is what happens to the jobs of a run."""

    W = 4
    ON_NODES = False  # whether another node may do better where the sandbox fails, so that the job counts as lost

    def test_w_jobs_run_at_once_each_with_its_own_files(self, placer: Sandbox, tmp_path: Path) -> None:
        gate = Gate(tmp_path)
        write = "import sys; open('/out/artifact', 'w').write(sys.argv[1])"
        jobs = {
            str(n): job_in(
                tmp_path / str(n),
                f"print('up', flush=True)\n{gate.WAIT}\n{write}",
                *(f"job {n}",),
                label=f"RUN/{n:04d}/train",
                mounts=(gate.mount,),
            )
            for n in range(self.W)
        }
        running = Running(placer, jobs)
        running.wait_for_log("up")
        assert running.alive() == set(jobs)
        gate.open()
        running.join(*jobs)
        assert {execution.exit_code for execution in running.executions.values()} == {0}
        assert {name: (tmp_path / name / "artifact").read_text() for name in jobs} == {n: f"job {n}" for n in jobs}

    def test_how_it_ended_is_known_exactly(self, placer: Sandbox, tmp_path: Path) -> None:
        codes = {
            "exit": ("import os; os._exit(3)", (3, StoppedBy.ITSELF, None)),
            "signal": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (None, StoppedBy.SIGNAL, 9)),
            "late": ("import time; time.sleep(600)", (None, StoppedBy.WALL_LIMIT, None)),
            "memory": ("x = bytearray(1 << 30)", (None, StoppedBy.MEMORY, None)),
        }
        limits = {"late": replace(WALL, wall_seconds=1.0)}
        jobs = {
            name: job_in(tmp_path / name, code, label=f"RUN/1/{name}", limits=limits.get(name, WALL))
            for name, (code, _) in codes.items()
        }
        running = Running(placer, jobs)
        running.join(*jobs)
        found = {name: (e.exit_code, e.stopped_by, e.signal) for name, e in running.executions.items()}
        assert found == {name: expected for name, (_, expected) in codes.items()}

    def test_output_and_log_are_limited(self, placer: Sandbox, tmp_path: Path) -> None:
        code = """
            print("x" * 1_000_000)
            try:
                open("/out/artifact", "wb").write(bytes(8 << 20))
            except OSError as error:
                print(error.strerror)
        """
        job = job_in(tmp_path, code)
        execution = placer.run(job)
        assert execution.log_truncated
        assert job.log.read_text().endswith("File too large\n")
        assert job.log.stat().st_size < 2**18
        assert execution.output_bytes == (tmp_path / "artifact").stat().st_size <= 4 << 20

    def test_the_caller_stops_a_job_by_its_log_and_nothing_is_left(self, placer: Sandbox, tmp_path: Path) -> None:
        marker, log = uuid.uuid4().hex, tmp_path / "log"
        job = job_in(
            tmp_path,
            "import time; print('nan', flush=True); time.sleep(600)",
            marker,
            stop_when=lambda: log.exists() and "nan" in log.read_text(),
        )
        assert placer.run(job).stopped_by is StoppedBy.CALLER
        wait_until(lambda: not processes_with(marker))

    def test_our_environment_stays_here(self, placer: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        canary = uuid.uuid4().hex
        monkeypatch.setenv("OPENAI_API_KEY", canary)
        job = job_in(
            tmp_path,
            """
            import glob, os
            print(dict(os.environ))
            for path in glob.glob("/proc/[0-9]*/environ"):
                try:
                    print(open(path).read())
                except OSError as error:
                    print(error)
            """,
            environment={"GIVEN": "yes"},
        )
        placer.run(job)
        assert canary not in job.log.read_text()
        assert "'GIVEN': 'yes'" in job.log.read_text()

    @pytest.mark.parametrize("name", ["with space", "per%cent %j %%", 'quo\'te "s" $HOME `x`', "ünï-✓", "-dash"])
    def test_a_path_may_have_any_name(self, placer_in: Callable[[Path], Sandbox], tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data").write_text("read")
        mounts = (Mount(folder / "data", "/data"),)
        placer = placer_in(folder / "jobs")
        try:
            job = job_in(folder, "print(open('/data').read())", label=f"RUN/{name}", mounts=mounts)
            assert placer.run(job).exit_code == 0
            assert job.log.read_text() == "read\n"
        finally:
            placer.close()

    def test_a_fault_of_the_sandbox_is_an_error_with_its_remedy(self, placer: Sandbox, tmp_path: Path) -> None:
        job = job_in(tmp_path, "pass", mounts=(Mount(tmp_path / "missing", "/data"),))
        with pytest.raises(SandboxError, match=r"cannot mount .*check the mounts") as raised:
            placer.run(job)
        assert isinstance(raised.value, JobLostError) == self.ON_NODES

    def test_the_same_job_can_run_again(self, placer: Sandbox, tmp_path: Path) -> None:
        job = job_in(tmp_path, "import os; print(os.urandom(8).hex())")
        texts = set()
        for _ in range(2):
            placer.run(job)
            texts.add(job.log.read_text())
        assert len(texts) == 2


class LosesNodes:
    """What holds where jobs run on nodes, which `lose_node` and `cut_off` take away."""

    def run_until(self, placer: Sandbox, job: Job, event: Callable[[], bool]) -> tuple[threading.Thread, list[object]]:
        """Start a job in a thread; return, once `event` has happened, the thread and where its result will be."""
        results: list[object] = []

        def run() -> None:
            try:
                results.append(placer.run(job))
            except SandboxError as error:
                results.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: event() or not thread.is_alive())
        return thread, results

    def is_up(self, job: Job) -> Callable[[], bool]:
        return lambda: job.log.exists() and "up" in job.log.read_text()

    @pytest.mark.parametrize("how", ["lose_node", "cut_off"])
    def test_a_lost_node_loses_its_job_once_and_its_late_result_is_ignored(
        self, placer: Sandbox, cluster: Any, tmp_path: Path, how: str
    ) -> None:
        gate, marker = Gate(tmp_path), uuid.uuid4().hex
        code = f"print('up', flush=True)\n{gate.WAIT}\nopen('/out/artifact', 'w').write(sys.argv[1])"
        first = job_in(tmp_path, f"import sys\n{code}", marker, mounts=(gate.mount,))
        thread, results = self.run_until(placer, first, self.is_up(first))
        node = cluster.busy()[0]
        getattr(cluster, how)(node)
        wait_until(lambda: not thread.is_alive())
        assert isinstance(results[0], JobLostError), results
        assert f"on node {node}" in str(results[0]), str(results[0])
        second = job_in(tmp_path, "open('/out/artifact', 'w').write('second')")
        execution = placer.run(second)
        gate.open()
        wait_until(lambda: not processes_with(marker))
        assert execution.exit_code == 0
        assert execution.sandbox.rpartition(" ")[2] != node
        assert (tmp_path / "artifact").read_text() == "second"
        cluster.start_node(node)

    def test_a_job_ended_from_outside_is_lost_and_no_failure_of_its_own(
        self, placer: Sandbox, cluster: Any, tmp_path: Path
    ) -> None:
        job = job_in(tmp_path, "import time; print('up', flush=True); time.sleep(600)")
        thread, results = self.run_until(placer, job, self.is_up(job))
        cluster.end_jobs()
        thread.join()
        assert isinstance(results[0], JobLostError), results

    def test_a_cluster_that_does_not_answer_loses_nothing(
        self, placer: Sandbox, cluster: Any, tmp_path: Path, lines: list[str]
    ) -> None:
        gate = Gate(tmp_path)
        job = job_in(tmp_path / "a", f"print('up', flush=True)\n{gate.WAIT}", mounts=(gate.mount,), label="RUN/1/train")
        thread, results = self.run_until(placer, job, self.is_up(job))
        cluster.kill_controller()
        try:
            wait_until(lambda: bool(lines))
            assert "does not answer" in lines[0]
            gate.open()
            thread.join()
            later = job_in(tmp_path / "b", "pass", label="RUN/2/train")
            other, more = self.run_until(placer, later, lambda: len(lines) >= 1)
            assert other.is_alive()
        finally:
            cluster.start_controller()
        other.join()
        assert isinstance(results[0], Execution), results
        # Slurm may give the id of the first job again, whose node then refuses the second: lost, so it runs again.
        assert isinstance(more[0], Execution | JobLostError), more

    def test_a_job_that_waits_in_the_queue_can_be_stopped(self, placer: Sandbox, cluster: Any, tmp_path: Path) -> None:
        cluster.close_nodes()
        try:
            stop = threading.Event()
            job = job_in(tmp_path, "pass", stop_when=stop.is_set)
            thread, results = self.run_until(placer, job, lambda: bool(cluster.waiting()))
            stop.set()
            thread.join()
        finally:
            cluster.open_nodes()
        assert isinstance(results[0], Execution), results
        assert (results[0].stopped_by, results[0].wall_seconds) == (StoppedBy.CALLER, 0.0)
        wait_until(lambda: not cluster.waiting())
