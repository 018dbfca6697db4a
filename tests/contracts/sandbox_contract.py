"""What every sandbox promises, as tests. A provider subclasses `SandboxContract` and gives the fixture `sandbox`."""

import os
import signal
import socket
import stat
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.job import Execution, Job, Limits, Mount, Sandbox, StoppedBy

LIMITS_IN_ORDER = (StoppedBy.MEMORY, StoppedBy.CPU_LIMIT, StoppedBy.WALL_LIMIT, StoppedBy.CALLER)
LIMITS = {"wall_seconds": 600.0, "memory_gb": 0.25, "output_mb": 4.0, "scratch_mb": 8.0, "log_mb": 0.1}


@dataclass(frozen=True)
class Ran:
    """One job after its end."""

    execution: Execution
    log: str
    output: Path


Run = Callable[..., Ran]


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs `code` without site-packages, which starts in a few milliseconds."""
    return ("python", "-I", "-S", "-c", textwrap.dedent(code), *arguments)


def processes_with(marker: str) -> list[int]:
    """Return the processes of this machine that have `marker` among their arguments."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if marker.encode() in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0"):
                found.append(int(entry))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def control_groups(pid: int) -> set[str]:
    """Return the control groups that the sandboxes of process `pid` hold, while those of others come and go."""
    own = f"autocentaur.{pid}."
    return {
        os.path.join(folder, name)
        for folder, folders, _ in os.walk("/sys/fs/cgroup")  # which goes on where a folder is gone
        for name in folders
        if name.startswith(own)
    }


def wait_for(condition: Callable[[], bool], *, while_alive: threading.Thread) -> None:
    """Return once `condition` holds; fail if the thread ends before."""
    while not condition():
        assert while_alive.is_alive(), "the job ended before what was waited for"
        time.sleep(0.01)


def wait_until(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Return once `condition` holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Gate:
    """A folder that a job waits at, `WAIT`, until the test opens it: however slow the machine, neither is early."""

    WAIT = "import os, time\nwhile not os.path.exists('/gate/open'): time.sleep(0.01)"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "gates" / uuid.uuid4().hex
        self._folder.mkdir(mode=0o755, parents=True)
        self.mount = Mount(self._folder, "/gate", grows=True)

    def open(self) -> None:
        (self._folder / "open").touch()


class Running:
    """Jobs that run at once, each in a thread of its own, by their names."""

    def __init__(self, sandbox: Sandbox, jobs: Mapping[str, Job]) -> None:
        self.executions: dict[str, Execution] = {}
        self.errors: dict[str, SandboxError] = {}
        self._sandbox = sandbox
        self._jobs = jobs
        self._threads = {name: threading.Thread(target=self._run, args=(name,)) for name in jobs}
        for thread in self._threads.values():
            thread.start()

    def wait_for_log(self, text: str) -> None:
        """Return once each job has printed `text`, or has ended."""
        for name, job in self._jobs.items():
            wait_until(
                lambda: (job.log.exists() and text in job.log.read_text()) or not self._threads[name].is_alive()  # noqa: B023
            )

    def join(self, *names: str) -> None:
        """Wait until the jobs of these names have ended."""
        for name in names:
            self._threads[name].join()

    def alive(self) -> set[str]:
        """Return the names of the jobs that have not ended."""
        return {name for name, thread in self._threads.items() if thread.is_alive()}

    def _run(self, name: str) -> None:
        try:
            self.executions[name] = self._sandbox.run(self._jobs[name])
        except SandboxError as error:
            self.errors[name] = error


class SandboxContract:
    """Each case is what a training script might do."""

    loopback = "loopback inside works\nso does its name\ninterfaces: 0 ['lo']"
    """What a job says that tries it."""

    @pytest.fixture
    def run(self, sandbox: Sandbox, tmp_path: Path) -> Run:
        def run(
            code: str,
            *arguments: str,
            mounts: tuple[Mount, ...] = (),
            environment: dict[str, str] | None = None,
            output: bool = True,
            argv: tuple[str, ...] | None = None,
            workdir: str = "/",
            stop_when: Callable[[], bool] | None = None,
            cores: tuple[int, ...] = (),
            **limits: float,
        ) -> Ran:
            folder = tmp_path / uuid.uuid4().hex
            folder.mkdir()
            job = Job(
                argv=argv or python(code, *arguments),
                label="RUN/0007/a test",
                limits=Limits(**{**LIMITS, **limits}),  # type: ignore[arg-type]
                log=folder / "log",
                output=folder / "artifact" if output else None,
                mounts=mounts,
                environment=environment or {},
                workdir=workdir,
                cores=cores,
                stop_when=stop_when,
            )
            execution = sandbox.run(job)
            return Ran(execution, job.log.read_text(), folder / "artifact")

        return run

    # What a job prints

    def test_the_streams_are_kept_apart_and_no_line_of_one_runs_into_the_other(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        code = r"""
            import os
            for n, text in ((2, b"\r 3/3 [00:00]"), (1, b"---\nloss: "), (2, b"warning\n"), (1, b"2.0\n"), (2, b"end")):
                os.write(n, text)
        """
        log, stdout, stderr = tmp_path / "log", tmp_path / "out", tmp_path / "err"
        sandbox.run(Job(python(code), "RUN/0007/a test", Limits(**LIMITS), log, stdout=stdout, stderr=stderr))  # type: ignore[arg-type]
        printed = stdout.read_text(), stderr.read_text()
        assert printed == ("---\nloss: 2.0\n", "\n 3/3 [00:00]warning\nend"), printed
        lines = log.read_text().splitlines()  # in the order in which they arrived
        assert "---" in lines
        assert not [line for line in lines if "loss" in line and ("warning" in line or "[" in line)]

    @pytest.mark.parametrize("name", ["python", "python3"])
    def test_what_python_printed_before_it_was_killed_is_in_the_log(self, run: Run, name: str) -> None:
        code = "import os, signal; print('epoch 1'); os.kill(os.getpid(), signal.SIGKILL)"
        ran = run("", argv=(name, "-S", "-c", code))
        assert (ran.execution.stopped_by, ran.log) == (StoppedBy.SIGNAL, "epoch 1\n")

    # How a job ends

    @pytest.mark.parametrize("code", [0, 3, 128, 255])
    def test_exit_code_is_the_jobs_own(self, run: Run, code: int) -> None:
        execution = run(f"import os; os._exit({code})").execution
        assert (execution.exit_code, execution.stopped_by, execution.signal) == (code, StoppedBy.ITSELF, None)

    def test_a_command_that_is_not_there_is_the_jobs_failure(self, run: Run) -> None:
        ran = run("", argv=("no-such-program",))
        assert ran.execution.exit_code == 127
        assert "no-such-program" in ran.log

    def test_a_command_that_looks_like_an_option_is_only_a_command(self, run: Run) -> None:
        ran = run("", argv=("-i", "sh", "-c", "echo ran"))
        assert ran.execution.exit_code == 127
        assert "ran" not in ran.log.split()

    def test_a_signal_is_distinguished_from_an_exit_code(self, run: Run) -> None:
        execution = run("import os; os.kill(os.getpid(), 11)").execution
        assert (execution.exit_code, execution.stopped_by) == (None, StoppedBy.SIGNAL)
        assert execution.signal == signal.SIGSEGV

    def test_wall_limit_kills_grandchildren_that_ignore_signals(self, run: Run) -> None:
        marker = uuid.uuid4().hex
        code = """
            import os, signal, time
            for number in range(1, 32):
                if number not in (9, 19):
                    signal.signal(number, signal.SIG_IGN)
            for _ in range(5):
                if os.fork() == 0:
                    os.setsid()
                    os.fork()
                    break
            print("started", flush=True)
            time.sleep(6000)
        """
        for wall_seconds in (1.0, 10.0, 100.0, 1000.0):  # until all have started, however slow the machine is
            ran = run(code, marker, wall_seconds=wall_seconds)
            assert (ran.execution.exit_code, ran.execution.stopped_by) == (None, StoppedBy.WALL_LIMIT)
            assert processes_with(marker) == []
            if ran.log.count("started") == 11:
                return
        raise AssertionError(ran.log)

    def test_a_job_that_stops_itself_is_ended_at_the_wall_limit(self, run: Run) -> None:
        execution = run("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", wall_seconds=0.5).execution
        assert execution.stopped_by is StoppedBy.WALL_LIMIT

    def test_the_caller_stops_a_job_by_what_it_has_printed(self, sandbox: Sandbox, tmp_path: Path) -> None:
        marker, log = uuid.uuid4().hex, tmp_path / "log"
        code = """
            import os, time
            os.fork()
            print("bad", flush=True)
            time.sleep(6000)
        """
        job = Job(
            python(code, marker), "RUN/1/x", Limits(**LIMITS), log, stop_when=lambda: log.read_text().count("bad") == 2
        )
        execution = sandbox.run(job)
        assert (execution.exit_code, execution.stopped_by) == (None, StoppedBy.CALLER)
        assert execution.wall_seconds < LIMITS["wall_seconds"]
        assert processes_with(marker) == []

    def test_a_job_that_its_caller_lets_run_ends_by_itself(self, run: Run, tmp_path: Path) -> None:
        gate = Gate(tmp_path)

        def asked() -> bool:
            gate.open()
            return False

        ran = run(f"{gate.WAIT}\nprint('done')", mounts=(gate.mount,), stop_when=asked)
        assert (ran.execution.exit_code, ran.log) == (0, "done\n")  # it had waited to be asked about

    def test_an_error_of_the_caller_leaves_no_process(self, run: Run) -> None:
        marker = uuid.uuid4().hex

        def broken() -> bool:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run("import time; time.sleep(600)", marker, stop_when=broken)
        assert processes_with(marker) == []

    def test_children_die_with_the_main_process(self, run: Run) -> None:
        marker = uuid.uuid4().hex
        code = """
            import os, time
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
            print("leaving a child", flush=True)
        """
        ran = run(code, marker)
        assert (ran.execution.exit_code, ran.execution.stopped_by) == (0, StoppedBy.ITSELF)
        assert processes_with(marker) == []

    def test_cpu_limit_counts_all_processes(self, run: Run) -> None:
        execution = run("import os; os.fork(); os.fork()\nwhile True: pass", cpu_seconds=0.5).execution
        assert (execution.exit_code, execution.stopped_by) == (None, StoppedBy.CPU_LIMIT)
        assert execution.cpu_seconds is not None
        assert execution.cpu_seconds >= 0.5

    def test_one_processor_is_shared_by_all_processes(self, run: Run) -> None:
        execution = run("import os; os.fork(); os.fork()\nwhile True: pass", wall_seconds=1.5).execution
        assert execution.cpu_seconds is not None
        assert execution.cpu_seconds < 1.3 * execution.wall_seconds

    @pytest.mark.parametrize("place", [0, -1], ids=["the first", "the last"])
    def test_processes_stay_on_the_jobs_processors_whatever_they_ask_for(self, run: Run, place: int) -> None:
        own = sorted(os.sched_getaffinity(0))[place]
        code = """
            import os, threading
            def widen(pid):
                for wanted in (range(1024), range(os.cpu_count()), {0}):
                    try:
                        os.sched_setaffinity(pid, wanted)
                    except OSError:
                        pass
                    print(sorted(os.sched_getaffinity(0)), flush=True)
            print(sorted(os.sched_getaffinity(0)), flush=True)
            thread = threading.Thread(target=widen, args=(0,))
            thread.start()
            thread.join()
            if os.fork() == 0:
                widen(os.getppid())
                os._exit(0)
            os.wait()
            print(sorted(os.sched_getaffinity(0)))
        """
        ran = run(code, cores=(own,))
        assert (ran.execution.exit_code, ran.log) == (0, f"[{own}]\n" * 8)
        assert [line for line in ran.execution.unenforced if line.startswith("cores")] == []

    def test_a_job_without_processors_of_its_own_runs_on_any(self, run: Run) -> None:
        ran = run("import os; print(len(os.sched_getaffinity(0)))", cpus=float(os.cpu_count() or 1))
        assert ran.log == f"{len(os.sched_getaffinity(0))}\n"

    def test_busy_processes_share_the_one_processor_of_their_job(self, run: Run) -> None:
        code = """
            import os
            for _ in range(2):
                os.fork()
            try:
                os.sched_setaffinity(0, range(os.cpu_count()))
            except OSError:
                pass
            while True: pass
        """
        own = max(os.sched_getaffinity(0))
        execution = run(code, wall_seconds=1.5, cpus=float(os.cpu_count() or 1), cores=(own,)).execution
        assert execution.cpu_seconds is not None
        assert execution.cpu_seconds < 1.3 * execution.wall_seconds

    def test_processors_that_this_machine_lacks_are_the_sandboxs_failure(self, run: Run) -> None:
        marker = uuid.uuid4().hex
        with pytest.raises(SandboxError, match="4000"):
            run("import time; time.sleep(600)", marker, cores=(4000,))
        assert processes_with(marker) == []

    def test_cpu_seconds_of_children_are_known_at_the_end(self, run: Run) -> None:
        code = """
            import os, time
            if os.fork() == 0:
                while time.process_time() < 0.3: pass
                os._exit(0)
            os.wait()
        """
        execution = run(code).execution
        assert execution.cpu_seconds is not None
        assert execution.cpu_seconds >= 0.3

    @pytest.mark.parametrize(
        ("reasons", "reported"),
        [
            *((pair, pair[0]) for pair in combinations(LIMITS_IN_ORDER, 2)),
            ((StoppedBy.ITSELF, *LIMITS_IN_ORDER[1:]), StoppedBy.ITSELF),
        ],
        ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
    )
    def test_of_several_reasons_to_end_every_sandbox_reports_the_same(
        self, sandbox: Sandbox, tmp_path: Path, reasons: tuple[StoppedBy, ...], reported: StoppedBy
    ) -> None:
        lines = ["import os, time", Gate.WAIT]
        if StoppedBy.CPU_LIMIT in reasons:
            lines.append("while time.process_time() < 0.6: pass")
        if StoppedBy.MEMORY in reasons:  # the kernel kills the child; or a sandbox that samples finds what it holds
            lines += ["if os.fork() == 0:", "    kept = [bytearray(b'x') * (1 << 24) for _ in range(30)]"]
            lines += ["    open('/out/artifact', 'w').write('x')", "    time.sleep(600)", "os.wait()"]
        lines.append("open('/out/artifact', 'w').write('x')")
        if StoppedBy.ITSELF not in reasons:
            lines.append("time.sleep(600)")
        marker, output = uuid.uuid4().hex, tmp_path / "artifact"
        for wall_seconds in (1.5, 15.0, 150.0):  # until the caller is asked before that, however slow the machine is
            gate, asked = Gate(tmp_path), threading.Event()

            def pass_the_limits() -> bool:
                """Let the job pass all of them while nobody looks, so that the next look finds them all."""
                asked.set()  # noqa: B023
                gate.open()  # noqa: B023
                wait_until(lambda: output.read_bytes() == b"x")
                if StoppedBy.ITSELF in reasons:
                    wait_until(lambda: self.has_ended(marker))
                if StoppedBy.WALL_LIMIT in reasons:
                    time.sleep(wall_seconds)  # noqa: B023
                return StoppedBy.CALLER in reasons

            own = {
                "wall_seconds": wall_seconds if StoppedBy.WALL_LIMIT in reasons else 600.0,
                "cpu_seconds": 0.5 if StoppedBy.CPU_LIMIT in reasons else 600.0,
            }
            job = Job(
                python("\n".join(lines), marker),
                *("RUN/0007/a test", Limits(**{**LIMITS, **own}), tmp_path / "log", output),
                mounts=(gate.mount,),
                stop_when=pass_the_limits,
            )
            execution = sandbox.run(job)
            if asked.is_set():
                assert execution.stopped_by is reported
                assert execution.exit_code == (0 if reported is StoppedBy.ITSELF else None)
                return
        raise AssertionError("the caller was not asked")

    # What a job prints

    def test_log_holds_stdout_and_stderr_each_in_its_order(self, run: Run) -> None:
        ran = run('import os; os.write(1, b"one\\n"); os.write(2, b"two\\n"); os.write(1, b"\\tthree \\xc3\\xa9")')
        assert ran.log.split("\n") in (
            ["one", "two", "\tthree é"],
            ["one", "\tthree é", "two", ""],
            ["two", "one", "\tthree é"],
        )
        assert not ran.execution.log_truncated

    def test_log_has_no_control_characters(self, run: Run) -> None:
        ran = run('import os; os.write(1, b"a\\x1b[31mred\\x07\\x00\\x08\\x7f \\xc2\\x9b2J \\xff\\xfe real\\rfake\\n")')
        assert not set(ran.log) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
        assert "real\nfake\n" in ran.log

    def test_log_has_no_marks_that_reorder_text(self, run: Run) -> None:
        assert "\u202e" not in run('print(b"\\xe2\\x80\\xae evil".decode())').log

    def test_a_long_log_keeps_its_beginning_and_end(self, run: Run) -> None:
        code = """
            import os
            os.write(1, b"first\\n")
            for _ in range(20): os.write(1, b"middle\\n" * 150_000)
            os.write(1, b"last\\n")
        """
        ran = run(code)
        assert ran.execution.log_truncated
        assert ran.execution.exit_code == 0
        assert ran.log.startswith("first\n")
        assert ran.log.endswith("\nlast\n")
        assert "bytes of the log were dropped" in ran.log
        assert len(ran.log.encode()) < 0.1 * 2**20 + 200

    def test_one_endless_line_is_bounded_too(self, run: Run) -> None:
        ran = run("import os\nfor _ in range(50): os.write(1, b'\\xc3\\xa9' * 500_000)")
        assert (ran.execution.exit_code, ran.execution.log_truncated) == (0, True), (ran.execution, ran.log[-500:])
        assert len(ran.log.encode()) < 0.1 * 2**20 + 200

    def test_log_can_be_followed_while_the_job_runs(self, sandbox: Sandbox, tmp_path: Path) -> None:
        log = tmp_path / "log"
        gate = Gate(tmp_path)
        code = f"print('progress 0.1', flush=True)\n{gate.WAIT}"
        job = Job(python(code), "RUN/0001/live", Limits(**LIMITS), log, mounts=(gate.mount,))
        thread = threading.Thread(target=sandbox.run, args=(job,))
        thread.start()
        wait_for(lambda: log.exists() and "progress 0.1" in log.read_text(), while_alive=thread)
        gate.open()
        thread.join()

    # Who a job is and what it is given

    def test_environment_is_what_was_given(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-host")
        ran = run("import os; print(*os.environ)", environment={"TRAIN_SEED": "7"})
        assert set(ran.log.split()) - self.set_by_the_image() == {
            "HOME",
            "LANG",
            "PATH",
            "PYTHONUNBUFFERED",
            "TRAIN_SEED",
        }

    def test_values_of_variables_arrive_whole(self, run: Run) -> None:
        long = "x" * 100_000  # all together longer than the buffer of a socket
        given = {"A": 'it\'s "quoted" $HOME `id` \\n\n\tnext line\n', "B": "é ☂", "C": "", "IN": "in 'a'\n"}
        given |= {f"LONG{number}": long for number in range(5)}
        code = """
            import os
            print(*(ascii(os.environ[name]) for name in ("A", "B", "C", "IN")))
            print(sum(len(os.environ[f"LONG{number}"]) for number in range(5)))
        """
        shown = " ".join(ascii(given[name]) for name in ("A", "B", "C", "IN"))
        assert run(code, environment=given).log == f"{shown}\n{5 * len(long)}\n"

    def test_a_job_of_one_process_needs_no_second_one(self, run: Run) -> None:
        assert run("print('ran')", environment={"A": "1"}, processes=1).log == "ran\n"

    def test_no_process_inside_shows_the_hosts_environment(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-host")
        code = """
            import glob
            for path in glob.glob("/proc/[0-9]*/environ"):
                try:
                    print(path, open(path).read())
                except OSError as error:
                    print(path, error)
        """
        ran = run(code)
        assert "environ" in ran.log
        assert "sk-secret-of-the-host" not in ran.log

    def test_the_job_is_not_root_on_the_host(self, sandbox: Sandbox, tmp_path: Path) -> None:
        marker = uuid.uuid4().hex
        gate = Gate(tmp_path)
        limits = Limits(**LIMITS)
        job = Job(python(gate.WAIT, marker), "RUN/0001/who", limits, tmp_path / "log", mounts=(gate.mount,))
        thread = threading.Thread(target=sandbox.run, args=(job,))
        thread.start()

        def seen() -> list[int]:
            # What launches the job has the same arguments: look at what has become python.
            pids = processes_with(marker)
            return [pid for pid in pids if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python")]

        wait_for(lambda: bool(seen()), while_alive=thread)
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in seen()}
        gate.open()
        thread.join()
        assert owners
        assert 0 not in owners

    def test_the_job_has_no_capabilities_and_cannot_gain_any(self, run: Run) -> None:
        wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp:", "Groups")
        status = run("print(open('/proc/self/status').read())").log.splitlines()
        found = {line.split()[0].rstrip(":"): line.split()[1:] for line in status if line.startswith(wanted)}
        capabilities = [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        assert capabilities == [["0000000000000000"]] * 5
        assert found["NoNewPrivs"] == ["1"]
        assert found["Seccomp"] == ["2"]

    def test_only_the_standard_files_are_open(self, run: Run) -> None:
        code = "import os, sys; print(os.listdir('/proc/self/fd'), repr(sys.stdin.read()), os.isatty(1))"
        assert run(code).log == "['0', '1', '2', '3'] '' False\n"  # 3 is the listing's own

    def test_workdir_is_where_the_job_starts(self, run: Run, tmp_path: Path) -> None:
        folder = self.task_folder(tmp_path)
        assert run("import os; print(os.getcwd())", mounts=(Mount(folder, "/task"),), workdir="/task").log == "/task\n"

    # Files

    @staticmethod
    def task_folder(tmp_path: Path) -> Path:
        folder = tmp_path / "task"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "train.py").write_text("loss = 1\n")
        (folder / "train.py").chmod(0o644)
        return folder

    def test_mounts_can_be_read_and_not_written(self, run: Run, tmp_path: Path) -> None:
        folder = self.task_folder(tmp_path)
        code = """
            import os
            print(open("/task/train.py").read())
            for act in (
                lambda: open("/task/train.py", "w"),
                lambda: open("/task/new.py", "w"),
                lambda: os.unlink("/task/train.py"),
                lambda: os.chmod("/task/train.py", 0o777),
                lambda: os.utime("/task/train.py"),
                lambda: os.mkdir("/task/__pycache__"),
                lambda: os.rename("/task", "/elsewhere"),
            ):
                try:
                    act()
                    print("DONE")
                except OSError as error:
                    print(error)
        """
        ran = run(code, mounts=(Mount(folder, "/task"),))
        assert ran.log.startswith("loss = 1\n")
        assert "DONE" not in ran.log
        assert os.listdir(folder) == ["train.py"]
        assert (folder / "train.py").read_text() == "loss = 1\n"

    def test_a_private_file_of_the_launching_user_can_be_mounted(self, run: Run, tmp_path: Path) -> None:
        private = tmp_path / "artifact"
        private.write_bytes(b"weights")
        private.chmod(0o600)
        code = """
            print(open("/in/artifact").read())
            try:
                open("/in/artifact", "w")
            except OSError:
                print("refused")
        """
        ran = run(code, mounts=(Mount(private, "/in/artifact"),))
        assert ran.log == "weights\nrefused\n"
        assert ran.execution.exit_code == 0
        assert private.read_bytes() == b"weights"

    def test_a_mount_that_is_not_there_is_the_sandboxs_failure(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(SandboxError, match="nowhere"):
            run("print(1)", mounts=(Mount(tmp_path / "nowhere", "/task"),))

    def test_files_of_the_host_are_not_there(self, run: Run, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("the validation data")
        code = """
            import os, sys
            for path in sys.argv[1:]:
                print(path, os.path.exists(path))
            for path in ("/proc/1/root" + sys.argv[1], "/proc/1/cwd" + sys.argv[1], "/proc/kcore", "/etc/shadow"):
                try:
                    print(path, open(path, "rb").read(10) != b"")
                except OSError:
                    pass
        """
        places = ["/var/run/docker.sock", "/run/docker.sock", "/root/.ssh"]
        ran = run(code, str(secret), __file__, str(Path.cwd() / ".git"), *places)
        assert "False" in ran.log
        assert "True" not in ran.log

    def test_nothing_else_can_be_written(self, run: Run) -> None:
        core_pattern = Path("/proc/sys/kernel/core_pattern").read_text()
        code = """
            import os, sys
            folders = ["/", "/usr", "/usr/bin", "/etc", "/dev", "/out", "/proc/sys/kernel", sys.prefix, "/sys", "/var"]
            for folder in folders:
                try:
                    open(folder + "/planted", "w").write("x")
                    print("WROTE", folder)
                except OSError:
                    pass
            for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd", os.__file__):
                try:
                    open(path, "w").write("x")
                    print("WROTE", path)
                except OSError:
                    pass
        """
        assert run(code).log == ""
        assert Path("/proc/sys/kernel/core_pattern").read_text() == core_pattern

    def test_two_jobs_share_nothing(self, run: Run) -> None:
        code = """
            import os
            for folder in ("/tmp", "/dev/shm"):
                # The interpreter itself may lie below /tmp: what counts are files that somebody wrote there.
                print([name for name in os.listdir(folder) if os.path.isfile(folder + "/" + name)])
                open(folder + "/left-behind", "w").write("x")
        """
        assert [run(code).log for _ in range(2)] == ["[]\n[]\n"] * 2

    # The output file

    def test_output_arrives_and_belongs_to_the_launching_user(self, run: Run) -> None:
        ran = run("import os; open('/out/artifact', 'wb').write(b'weights'); os.chmod('/out/artifact', 0o4777)")
        found = ran.output.stat()
        assert ran.output.read_bytes() == b"weights"
        assert ran.execution.output_bytes == 7
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())

    def test_a_file_that_grows_is_seen_to_grow_and_so_is_the_output(self, sandbox: Sandbox, tmp_path: Path) -> None:
        code = """
            import os, time
            questions, answers = open("/data/questions", "rb", 0), open("/out/artifact", "wb", 0)
            for _ in range(3):
                asked = b""
                while not asked:
                    asked = questions.read()
                    time.sleep(0.01)
                answers.write(asked.upper())
            for act in (
                lambda: open("/data/questions", "ab"),
                lambda: os.unlink("/data/questions"),
                lambda: os.rename("/data/questions", "/data/other"),
                lambda: os.link("/data/questions", "/tmp/link"),
                lambda: os.link("/out/artifact", "/tmp/link"),
                lambda: os.truncate("/data/questions", 0),
                lambda: os.chmod("/data/questions", 0o666),
            ):
                try:
                    act()
                    print("DONE")
                except OSError:
                    pass
        """
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        questions, answers = private / "questions", private / "answers"
        questions.touch(0o644)
        questions.chmod(0o644)  # else the job of root's could only be given a copy, which does not grow
        mounts = (Mount(questions, "/data/questions", grows=True),)
        limits = Limits(**LIMITS)  # type: ignore[arg-type]
        job = Job(python(code), "RUN/1/x", limits, tmp_path / "log", answers, mounts=mounts)
        thread = threading.Thread(target=sandbox.run, args=(job,))
        thread.start()
        for number in range(1, 4):
            with questions.open("ab") as file:
                file.write(b"why?")
            wait_for(lambda: answers.exists() and answers.read_bytes() == b"WHY?" * number, while_alive=thread)  # noqa: B023
        thread.join()
        assert job.log.read_text() == ""
        assert questions.read_bytes() == b"why?" * 3

    def test_output_is_empty_if_nothing_was_written(self, run: Run) -> None:
        assert run("").execution.output_bytes == 0

    def test_a_second_output_is_one_like_the_first(self, sandbox: Sandbox, tmp_path: Path) -> None:
        code = """
            import os
            for name in ("artifact", "extra"):
                open("/out/" + name, "w").write(name)
            try:
                open("/out/extra", "wb").write(bytes(6 << 20))
            except OSError:
                print("capped at", os.path.getsize("/out/extra"))
        """
        limits = Limits(**LIMITS)  # type: ignore[arg-type]
        log, output, extra = (tmp_path / name for name in ("log", "artifact", "extra"))
        assert sandbox.run(Job(python(code), "RUN/1/x", limits, log, output, extra)).exit_code == 0
        assert (log.read_text(), output.read_text()) == (f"capped at {4 << 20}\n", "artifact")
        found = extra.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_size) == (0o600, os.geteuid(), 4 << 20)

    def test_without_an_output_there_is_none(self, run: Run) -> None:
        ran = run("import os; print(os.path.exists('/out/artifact'))", output=False)
        assert ran.log == "False\n"
        assert ran.execution.output_bytes is None

    def test_output_cannot_be_replaced(self, run: Run) -> None:
        code = """
            import os
            for act in (
                lambda: os.unlink("/out/artifact"),
                lambda: os.rename("/out/artifact", "/out/other"),
                lambda: os.symlink("/etc/passwd", "/out/link"),
                lambda: os.link("/out/artifact", "/tmp/link"),
                lambda: os.mkfifo("/out/fifo"),
                lambda: open("/out/second", "w"),
            ):
                try:
                    act()
                    print("DONE")
                except OSError:
                    pass
        """
        ran = run(code)
        assert ran.log == ""
        assert stat.S_ISREG(ran.output.lstat().st_mode)
        assert sorted(os.listdir(ran.output.parent)) == ["artifact", "log"]

    def test_output_cannot_grow_past_its_cap(self, run: Run) -> None:
        code = """
            import os
            fd = os.open("/out/artifact", os.O_RDWR)
            for act in (
                lambda: os.truncate(fd, 1 << 40),
                lambda: os.posix_fallocate(fd, 0, 1 << 30),
                lambda: os.pwrite(fd, b"x", 1 << 33),
                lambda: [os.write(fd, bytes(1 << 20)) for _ in range(100)],
            ):
                try:
                    act()
                    print("DONE")
                except OSError as error:
                    print(error.strerror)
        """
        ran = run(code)
        assert ran.log == "File too large\n" * 4
        assert ran.execution.output_bytes == 4 * 2**20

    # Memory, processes, disk

    def test_scratch_space_is_bounded(self, run: Run) -> None:
        code = """
            for folder in ("/tmp", "/dev/shm"):
                written = 0
                try:
                    for number in range(100):
                        open(f"{folder}/{number}", "wb").write(bytes(1 << 20))
                        written += 1
                except OSError as error:
                    print(written, error.strerror)
        """
        assert run(code).log == "8 No space left on device\n" * 2

    def test_empty_files_without_end_are_stopped(self, run: Run) -> None:
        code = """
            import ctypes, os
            ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: hide from inspection
            for number in range(10_000_000):
                os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
        """
        ran = run(code, memory_gb=0.04)
        assert ran.execution.stopped_by is StoppedBy.MEMORY or "No space left" in ran.log

    def test_memory_bomb_is_stopped(self, run: Run) -> None:
        execution = run("kept = [bytearray(1 << 24) for _ in range(1000)]").execution
        assert (execution.exit_code, execution.stopped_by) == (None, StoppedBy.MEMORY)
        assert execution.peak_memory_gb is not None
        assert execution.peak_memory_gb > 0.2

    def test_a_child_killed_for_memory_is_not_hidden_by_its_parent(self, run: Run) -> None:
        code = """
            import os
            if os.fork() == 0:
                kept = [bytearray(1 << 24) for _ in range(1000)]
                os._exit(0)
            os.wait()
        """
        execution = run(code).execution
        assert (execution.exit_code, execution.stopped_by) == (None, StoppedBy.MEMORY)

    def test_memory_of_a_job_that_hides_from_inspection_is_counted(self, run: Run) -> None:
        code = """
            import ctypes
            ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
            kept = [bytearray(1 << 24) for _ in range(1000)]
        """
        assert run(code).execution.stopped_by is StoppedBy.MEMORY

    def test_memory_is_counted_over_all_processes(self, run: Run) -> None:
        code = """
            import os, time
            os.fork(); os.fork(); os.fork()
            kept = bytearray(b"x") * (60 << 20)
            time.sleep(600)
        """
        execution = run(code).execution
        assert execution.stopped_by is StoppedBy.MEMORY

    def test_memory_within_the_limit_is_not(self, run: Run) -> None:
        code = """
            import os
            kept = bytearray(b"x") * (100 << 20)
            for _ in range(3):
                if os.fork() == 0:
                    import time
                    time.sleep(0.3)
                    os._exit(sum(kept[:1000]) == 0)
            for _ in range(3):
                os.wait()
        """
        execution = run(code).execution  # 100 MiB that four processes share
        assert (execution.exit_code, execution.stopped_by) == (0, StoppedBy.ITSELF)

    def test_files_read_for_the_first_time_are_not_the_jobs_memory(self, run: Run, tmp_path: Path) -> None:
        cold = tmp_path / "cold"
        cold.write_bytes(os.urandom(1 << 20) * 150)
        cold.chmod(0o644)
        with cold.open("rb") as file:
            os.fsync(file)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # as after a boot
        code = """
            with open("/in/cold", "rb", 0) as file:
                while file.read(1 << 16): pass
        """
        peak_gb = run(code, mounts=(Mount(cold, "/in/cold"),)).execution.peak_memory_gb
        assert (peak_gb or 0.0) < 0.07  # where memory is sampled, a quick job may not have been looked at

    def test_files_in_memory_are_the_jobs_memory(self, run: Run, tmp_path: Path) -> None:
        gate = Gate(tmp_path)
        code = f"""
            import os
            for folder in ("/tmp", "/dev/shm"):
                with open(folder + "/full", "wb", 0) as file:
                    for _ in range(60): file.write(bytes(1 << 20))
            {gate.WAIT.replace(chr(10), chr(10) + " " * 12)}
        """
        asked: list[bool] = []

        def looked_at() -> bool:
            asked.append(True)
            if len(asked) == 4:  # by then there were looks between two questions, also where memory is sampled
                gate.open()
            return False

        execution = run(code, mounts=(gate.mount,), output=False, stop_when=looked_at, scratch_mb=64.0).execution
        assert execution.peak_memory_gb is not None
        assert 0.117 < execution.peak_memory_gb < 0.2

    def test_fork_bomb_meets_the_process_limit(self, run: Run) -> None:
        code = """
            import os, time
            count = 1
            try:
                while True:
                    if os.fork() == 0:
                        time.sleep(600)
                    count += 1
            except OSError as error:
                print(count, error.strerror)
        """
        ran = run(code, processes=20)
        count, _, reason = ran.log.partition(" ")
        assert reason == "Resource temporarily unavailable\n"
        assert 15 <= int(count) <= 20

    def test_threads_count_as_processes(self, run: Run) -> None:
        code = """
            import _thread, time
            count = 1
            try:
                while True:
                    _thread.start_new_thread(time.sleep, (600,))
                    count += 1
            except RuntimeError:
                print(count, flush=True)
                import os
                os._exit(0)
        """
        assert 15 <= int(run(code, processes=20).log) <= 20

    # Network

    def test_no_server_of_the_host_can_be_reached(self, run: Run) -> None:
        name = f"\0autocentaur-{uuid.uuid4().hex}"
        with (
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_UNIX) as abstract,
        ):
            udp.bind(("127.0.0.1", 0))
            abstract.bind(name)
            abstract.listen()
            code = """
                import socket, sys
                for kind, family, address in (
                    (socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))),
                    (socket.SOCK_STREAM, socket.AF_INET, ("169.254.169.254", 80)),
                    (socket.SOCK_STREAM, socket.AF_UNIX, "\\0" + sys.argv[3]),
                    (socket.SOCK_DGRAM, socket.AF_INET, ("192.0.2.1", 53)),
                ):
                    try:
                        socket.socket(family, kind).connect(address)
                        print("CONNECTED", address)
                    except OSError:
                        pass
                try:  # inside, loopback is another one: this is sent, and arrives nowhere
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(sys.argv[2])))
                except OSError:
                    pass  # a scoring job has no such sockets
                try:
                    print("RESOLVED", socket.getaddrinfo("example.org", 80))
                except OSError:
                    print("tried")
            """
            ran = run(code, str(tcp.getsockname()[1]), str(udp.getsockname()[1]), name[1:])
            assert ran.log == "tried\n"
            for server in (tcp, abstract):
                server.setblocking(False)
                with pytest.raises(BlockingIOError):
                    server.accept()
            udp.setblocking(False)
            with pytest.raises(BlockingIOError):
                udp.recv(10)

    def test_families_that_leave_the_machine_another_way_are_refused(self, run: Run) -> None:
        code = """
            import ctypes, socket
            others = [(family, 0) for family in (40, 17, 38, 31, 30, 44)]  # vsock, packet, alg, bluetooth, tipc, xdp
            others += [(16, protocol) for protocol in (*range(1, 32), 2**16)]  # netlink, but for routes
            for family, protocol in others:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                    try:
                        socket.socket(family, kind, protocol)
                        print("OPENED", family, protocol)
                    except OSError:
                        pass
            a, b = socket.socketpair()
            a.sendall(b"unix sockets work"); print(b.recv(100).decode())
            try:
                server = socket.create_server(("127.0.0.1", 0))
                socket.create_connection(server.getsockname()); print("loopback inside works")
                socket.create_server((socket.gethostname(), 0)); print("so does its name")
                libc, first = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p()
                print("interfaces:", libc.getifaddrs(ctypes.byref(first)), [name for _, name in socket.if_nameindex()])
            except OSError as error:
                print(error)
        """
        assert run(code).log == f"unix sockets work\n{self.loopback}\n"

    # Kernel

    def test_no_number_says_what_the_machine_has_done_before(self, run: Run) -> None:
        # The kernel counts these for the whole machine: sockets that were asked for their number, processes, logins.
        code = """
            import ctypes, os, platform, socket
            libc = ctypes.CDLL(None, use_errno=True)
            arm = platform.machine() == "aarch64"
            pair, value, size = socket.socketpair(), ctypes.create_string_buffer(8), ctypes.c_uint(8)
            get, put, clone = (209, 208, 220) if arm else (55, 54, 56)
            number = pair[0].fileno()
            for option in (57, 71, 77):
                for upper in (0, 1 << 32):  # which the kernel does not read
                    if not libc.syscall(get, number, ctypes.c_long(upper + 1), ctypes.c_long(upper + option), value,
                            ctypes.byref(size)):
                        print("TOLD", option, value.raw)
            if not libc.syscall(put, number, ctypes.c_long(1), ctypes.c_long(76), ctypes.byref(ctypes.c_int(1)), 4):
                print("WILL BE TOLD")
            if libc.syscall(434, os.getpid(), 0) >= 0 or libc.syscall(clone, 0x1000 | 17, 0, value, 0, 0) > 0:
                print("A PROCESS FILE")
            pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            print(pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
            try:
                with open("/proc/self/loginuid", "w") as file:
                    file.write("65534")
                print("LOGGED IN", open("/proc/self/sessionid").read())
            except OSError:
                pass
        """
        assert run(code).log == "1\n"

    def test_no_job_can_drop_or_ask_for_what_the_kernel_has_cached(self, run: Run) -> None:
        # Both together are a channel from one job to the next: 63 of 64 bits came through, 2026-11-22.
        ran = run(
            """
            import ctypes, mmap, os, sys
            file = os.open(os.__file__, os.O_RDONLY)
            tries = {
                "drop": lambda: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED),
                "ask": lambda: os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT),
            }
            for name, act in tries.items():
                try:
                    act()
                    print(name, "worked")
                except OSError as error:
                    print(name, error.errno)
            """
        )
        assert ran.log.splitlines() == ["drop 1", "ask 1"]

    def test_other_processes_cannot_be_traced_or_signalled(self, run: Run) -> None:
        code = """
            import ctypes, os, signal
            libc = ctypes.CDLL(None, use_errno=True)
            print(libc.ptrace(16, 1, 0, 0), libc.ptrace(0, 0, 0, 0))  # attach to process 1; trace me
            try:
                os.kill(1, signal.SIGKILL); os.kill(1, signal.SIGSTOP)
            except OSError:
                pass
            try:
                open("/proc/1/mem", "r+b")
            except OSError:
                pass
            print("still here")
        """
        assert run(code).log == "-1 -1\nstill here\n"

    def test_no_process_but_the_jobs_own_can_be_written_to(self, run: Run) -> None:
        code = """
            import glob, os
            own = os.path.realpath("/proc/self")
            for path in (*glob.glob("/proc/[0-9]*/mem"), *glob.glob("/proc/[0-9]*/task/*/mem"), "/proc/1/mem"):
                if path.startswith(own + "/"):
                    continue
                try:
                    os.close(os.open(path, os.O_RDWR))
                    print("OPENED", path)
                except OSError:
                    pass
            print("tried")
        """
        assert run(code).log == "tried\n"

    def test_no_new_namespaces_or_mounts(self, run: Run) -> None:
        code = """
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            flags = [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
            print([libc.unshare(flag) for flag in flags])
            print(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.chroot(b"/tmp"), libc.setns(0, 0))
        """
        assert run(code).log == "[-1, -1, -1, -1, -1, -1, -1]\n-1 -1 -1\n"

    # Many jobs

    def test_jobs_at_once_have_each_their_own_limits_and_result(self, sandbox: Sandbox, tmp_path: Path) -> None:
        marker = uuid.uuid4().hex
        start, end = Gate(tmp_path), Gate(tmp_path)
        before = self.held(), sorted(os.listdir("/proc/self/fd"))
        acts = {
            StoppedBy.MEMORY: ("kept = [bytearray(b'x') * (1 << 24) for _ in range(60)]\ntime.sleep(600)", {}),
            StoppedBy.CPU_LIMIT: ("while True: pass", {"cpu_seconds": 0.5}),
            StoppedBy.WALL_LIMIT: ("time.sleep(600)", {"wall_seconds": 15.0}),
            StoppedBy.ITSELF: (f"{Gate.WAIT.replace('gate', 'end')}\nos._exit(7)", {"memory_gb": 0.5}),
        }
        jobs = {}
        for reason, (act, own) in acts.items():
            folder = tmp_path / reason
            folder.mkdir()
            code = f"open('/out/artifact', 'w').write('{reason}')\nprint('up', '{reason}', flush=True)\n"
            jobs[reason] = Job(
                python(f"{code}{Gate.WAIT}\n{act}", marker),
                *("RUN/0001/same", Limits(**{**LIMITS, **own}), folder / "log", folder / "artifact"),
                mounts=(start.mount, Mount(end.mount.source, "/end", grows=True)),
            )
        running = Running(sandbox, jobs)
        running.wait_for_log("up")
        start.open()
        running.join(*LIMITS_IN_ORDER[:3])
        assert running.alive() == {StoppedBy.ITSELF}  # whatever has become of the others
        end.open()
        running.join(StoppedBy.ITSELF)
        assert {reason: found.stopped_by for reason, found in running.executions.items()} == {own: own for own in acts}
        assert running.executions[StoppedBy.ITSELF].exit_code == 7
        del jobs[StoppedBy.WALL_LIMIT]  # on a slow machine it ends before its first line
        for reason in jobs:
            found = [(tmp_path / reason / name).read_text() for name in ("log", "artifact")]
            assert found == [f"up {reason}\n", reason]
        assert (self.held(), sorted(os.listdir("/proc/self/fd"))) == before
        assert processes_with(marker) == []

    def test_the_caller_stops_one_of_several_jobs(self, sandbox: Sandbox, tmp_path: Path) -> None:
        gate, stops = Gate(tmp_path), [threading.Event() for _ in range(4)]
        jobs = {}
        for number, stop in enumerate(stops):
            folder = tmp_path / str(number)
            folder.mkdir()
            code = f"print('up', flush=True)\n{Gate.WAIT}\nopen('/out/artifact', 'w').write('{number}')"
            jobs[str(number)] = Job(
                python(code),
                *("RUN/0001/same", Limits(**LIMITS), folder / "log", folder / "artifact"),
                mounts=(gate.mount,),
                stop_when=stop.is_set,
            )
        running = Running(sandbox, jobs)
        running.wait_for_log("up")
        stops[2].set()
        running.join("2")
        assert running.alive() == {"0", "1", "3"}
        gate.open()
        running.join(*jobs)
        ends = {name: (found.stopped_by, found.output_bytes) for name, found in running.executions.items()}
        by_itself = (StoppedBy.ITSELF, 1)
        assert ends == {"0": by_itself, "1": by_itself, "2": (StoppedBy.CALLER, 0), "3": by_itself}
        assert [(tmp_path / name / "artifact").read_text() for name in jobs] == ["0", "1", "", "3"]

    def test_nothing_is_left(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        marker = uuid.uuid4().hex
        before = self.held(), sorted(os.listdir("/proc/self/fd"))
        run("print(1)", marker)
        run("import time; time.sleep(60)", marker, wall_seconds=0.2)
        run("kept = bytearray(1 << 30)", marker)
        assert (self.held(), sorted(os.listdir("/proc/self/fd"))) == before
        assert os.listdir(temporary) == []
        assert processes_with(marker) == []

    def held(self) -> set[str]:
        """Return what the provider holds of the machine beside processes: control groups, containers. To override."""
        return set()

    def has_ended(self, marker: str) -> bool:
        """Return whether the sandbox can see that the only job of this process has ended. To override."""
        return not processes_with(marker)

    def set_by_the_image(self) -> set[str]:
        """Return the names of variables that every job sees because its image sets them. To override."""
        return set()

    def test_close_can_be_called_twice(self, sandbox: Sandbox) -> None:
        sandbox.close()
        sandbox.close()
