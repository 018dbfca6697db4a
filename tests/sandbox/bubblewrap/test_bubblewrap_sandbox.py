"""What bubblewrap promises beyond the contract: how it launches, and what it refuses to launch."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from sandbox.bubblewrap import launch
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox, best_controller
from sandbox.errors import SandboxError, SandboxUnavailableError, UnsafeLaunchError
from sandbox.job import Job, Limits, Mount, StoppedBy
from sandbox.limits.controller import Wrapping
from sandbox.limits.polling import PollingController
from sandbox.limits.systemd_scope import KeptScope
from tests.contracts.sandbox_contract import control_groups, processes_with, python

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25, output_mb=1.0, scratch_mb=4.0)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can build this launch")


def a_job(folder: Path, code: str, *arguments: str, limits: Limits = LIMITS) -> Job:
    return Job(python(code, *arguments), "RUN/0007/train", limits, folder / "log", folder / "artifact")


@needs_root
def test_a_user_namespace_made_by_root_is_refused_before_the_job_starts(tmp_path: Path) -> None:
    sandbox = BubblewrapSandbox()
    sandbox.identity = launch.as_user  # what would leave the job with uid 0 of the host
    marker = uuid.uuid4().hex
    with pytest.raises(UnsafeLaunchError, match="its uid on this machine is 0"):
        sandbox.run(a_job(tmp_path, "open('/out/artifact', 'w').write('ran')", marker))
    assert (tmp_path / "artifact").read_bytes() == b""
    assert (tmp_path / "log").read_bytes() == b""
    assert processes_with(marker) == []


@needs_root
def test_a_job_that_kept_capabilities_is_refused(tmp_path: Path) -> None:
    sandbox = BubblewrapSandbox()
    sandbox.identity = lambda: dataclasses.replace(launch.as_root(61_000), prefix=())
    with pytest.raises(UnsafeLaunchError, match="CapEff is"):
        sandbox.run(a_job(tmp_path, "print(1)"))
    assert (tmp_path / "log").read_bytes() == b""


@needs_root
def test_each_job_of_root_has_a_user_of_its_own() -> None:
    users = {launch.identity().host_uid for _ in range(1000)}  # a long job runs beside very many short ones
    assert len(users) == 1000
    assert min(users) > 59_999


def test_the_job_dies_with_the_program_that_launched_it(tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    program = f"""
from pathlib import Path
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits
argv = ("python", "-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(6000)", "{marker}")
BubblewrapSandbox().run(Job(argv, "RUN/1/x", Limits(6000, 0.1), Path({str(tmp_path / "log")!r})))
"""
    log = tmp_path / "log"
    root = Path(__file__).parents[3]
    launcher = subprocess.Popen([sys.executable, "-c", program], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 600
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_with(marker)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    while processes_with(marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_with(marker) == []
    best_controller().sweep()  # what the next run does: the dead one could not remove its groups
    assert control_groups(launcher.pid) == set()


def test_the_job_dies_when_its_run_is_interrupted(tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    sandbox = BubblewrapSandbox()

    def interrupt() -> None:
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run(a_job(tmp_path, "import time; print('up', flush=True); time.sleep(6000)", marker))
    thread.join()
    assert processes_with(marker) == []


def test_variables_of_a_job_are_not_on_a_command_line(tmp_path: Path) -> None:
    secret = f"hf_{uuid.uuid4().hex}"
    seen: list[bool] = []
    code = "import os, time; print('up', flush=True); time.sleep(1); print(os.environ['TOKEN'])"
    job = dataclasses.replace(a_job(tmp_path, code), environment={"TOKEN": secret})
    thread = threading.Thread(target=BubblewrapSandbox().run, args=(job,))
    thread.start()
    while thread.is_alive():
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(secret.encode() in line.read_bytes())
            except OSError:  # it has just ended
                continue
        time.sleep(0.05)
    assert secret in (tmp_path / "log").read_text()
    assert seen
    assert not any(seen)


def test_a_variable_that_the_gate_would_swallow_is_refused(tmp_path: Path) -> None:
    job = dataclasses.replace(a_job(tmp_path, ""), environment={"PWD": "/"})
    with pytest.raises(SandboxError, match="PWD"):
        BubblewrapSandbox().run(job)


@pytest.mark.parametrize("argv", [(), ("A=B", "sh"), ("sh", "-c", "true\0--bind")])
def test_a_command_that_cannot_be_passed_on_is_refused(tmp_path: Path, argv: tuple[str, ...]) -> None:
    with pytest.raises(SandboxError):
        BubblewrapSandbox().run(dataclasses.replace(a_job(tmp_path, ""), argv=argv))


def test_a_variable_cannot_smuggle_in_an_option(tmp_path: Path) -> None:
    environment = {"X": "1\0--bind\0/\0/host"}
    with pytest.raises(SandboxError, match="zero byte"):
        BubblewrapSandbox().run(dataclasses.replace(a_job(tmp_path, ""), environment=environment))


def test_a_working_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="/nowhere"):
        BubblewrapSandbox().run(dataclasses.replace(a_job(tmp_path, ""), workdir="/nowhere"))


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").write_text("given")
    code = "open('/out/artifact', 'w').write(open('/in').read())"
    job = Job(python(code), "x", LIMITS, Path("log"), Path("artifact"), mounts=(Mount(Path("in"), "/in"),))
    assert BubblewrapSandbox().run(job).exit_code == 0
    assert Path("artifact").read_text() == "given"


def test_packages_of_the_base_installation_are_not_there(tmp_path: Path) -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    code = "import sys, os, glob; print([f for f in glob.glob(sys.base_prefix + '/lib/python3*/*-packages/*')])"
    job = dataclasses.replace(a_job(tmp_path, code), argv=("python", "-I", "-c", code))
    BubblewrapSandbox().run(job)
    assert (tmp_path / "log").read_text() == "[]\n"


def test_the_virtual_environment_is_the_jobs(tmp_path: Path) -> None:
    code = "import sys, numpy; print(sys.prefix)"
    job = dataclasses.replace(a_job(tmp_path, code), argv=("python", "-c", code))
    execution = BubblewrapSandbox().run(job)
    assert execution.exit_code == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text() == f"{sys.prefix}\n"


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no /usr/bin/python3 here")
def test_a_system_python_is_called_python_inside(tmp_path: Path) -> None:
    execution = BubblewrapSandbox(python=Path("/usr/bin/python3")).run(a_job(tmp_path, "print('hello')"))
    assert execution.exit_code == 0, (tmp_path / "log").read_text()


def test_a_python_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match="no-python"):
        BubblewrapSandbox(python=tmp_path / "no-python")


def test_sampling_is_named_in_every_execution(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not _can_move_other_users_processes():
        pytest.skip("root without CAP_SYS_NICE")
    sandbox = BubblewrapSandbox(controller=PollingController("this is a test"))
    execution = sandbox.run(a_job(tmp_path, "kept = [bytearray(1 << 24) for _ in range(100)]"))
    assert execution.stopped_by is StoppedBy.MEMORY
    assert execution.unenforced[0] == "memory: sampled every 50 ms, this is a test"


def test_where_processors_are_limited_by_affinity_a_job_gets_some_of_its_own(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not _can_move_other_users_processes():
        pytest.skip("root without CAP_SYS_NICE")
    sandbox, own = BubblewrapSandbox(controller=PollingController("this is a test")), min(os.sched_getaffinity(0))
    code = "import os; os.sched_setaffinity(0, range(os.cpu_count())); print(os.sched_getaffinity(0))"
    for _ in range(3):  # without cores of its own, each job gets the next ones
        sandbox.run(dataclasses.replace(a_job(tmp_path, code), cores=(own,)))
        assert (tmp_path / "log").read_text() == f"{{{own}}}\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GOMP_CPU_AFFINITY", "OMP_PROC_BIND"])
def test_a_script_that_binds_its_threads_runs_on_the_processors_of_its_job(name: str, tmp_path: Path) -> None:
    code = (
        "import os, torch; torch.set_num_threads(2); a = torch.ones(512, 512); print((a @ a).sum().item()); "
        "print(os.sched_getaffinity(0))"
    )
    job = Job(
        ("python", "-c", code),
        *("RUN/0007/train", Limits(600.0, 2.0, processes=256), tmp_path / "log"),
        cores=(min(os.sched_getaffinity(0)),),
        environment={name: {"GOMP_CPU_AFFINITY": "0-63", "OMP_PROC_BIND": "true"}[name], "OMP_NUM_THREADS": "2"},
    )
    execution = BubblewrapSandbox().run(job)
    output = (tmp_path / "log").read_text()
    assert (execution.exit_code, output) == (0, f"{512.0**3}\n{{{job.cores[0]}}}\n")


def test_what_cannot_be_enforced_is_refused_unless_accepted(tmp_path: Path) -> None:
    controller = PollingController("this is a test")
    controller.missing = ("processes: the kernel counts them otherwise",)
    with pytest.raises(SandboxUnavailableError, match="--accept-unenforced processes"):
        BubblewrapSandbox(controller=controller)
    sandbox = BubblewrapSandbox(controller=controller, accept_unenforced=frozenset({"processes"}))
    execution = sandbox.run(a_job(tmp_path, ""))
    assert "processes: the kernel counts them otherwise" in execution.unenforced


class _KeptWithoutSystemd(PollingController):
    """Starts jobs as a scope does, keeper and all, but for systemd."""

    def hold(self, label: str, limits: Limits) -> "_Kept":
        return _Kept(limits)


class _Kept(KeptScope):
    def __init__(self, limits: Limits) -> None:
        super().__init__(("/usr/bin/env", "--"), {"XDG_RUNTIME_DIR": "/run/user/1"}, limits)
        self._inner = PollingController("").hold("", limits)
        self.adopt, self.read = self._inner.adopt, self._inner.read  # type: ignore[method-assign]


def test_a_job_in_a_kept_scope_sees_nothing_of_it(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    code = "import os; print(os.listdir('/proc/self/fd'), sorted(os.environ), os.listdir('/proc/1') is None)"
    execution = BubblewrapSandbox(controller=_KeptWithoutSystemd("")).run(a_job(tmp_path, code))
    assert execution.exit_code == 0
    assert (tmp_path / "log").read_text() == "['0', '1', '2', '3'] ['HOME', 'LANG', 'PATH', 'PYTHONUNBUFFERED'] False\n"
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_wrapping_is_empty_where_a_running_process_can_be_taken_in() -> None:
    control = best_controller().hold("RUN/1/x", LIMITS)
    try:
        assert control.wrapping == Wrapping() or isinstance(control, KeptScope)
    finally:
        control.close()


def test_a_folder_that_the_jobs_user_cannot_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the job of an ordinary user reads what that user reads")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    job = dataclasses.replace(a_job(tmp_path, ""), mounts=(Mount(private, "/data"),))
    with pytest.raises(SandboxError, match=r"chmod -R o\+rX"):
        BubblewrapSandbox().run(job)


@needs_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare(1)")
def test_where_user_namespaces_are_refused_the_remedy_is_given(tmp_path: Path) -> None:
    # A user namespace in which no further one may be made stands for a machine that refuses them.
    program = """
import sys
from pathlib import Path
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.errors import SandboxUnavailableError
from sandbox.job import Job, Limits
try:
    BubblewrapSandbox().run(Job(("true",), "RUN/1/x", Limits(10, 0.1), Path(sys.argv[1])))
except SandboxUnavailableError as error:
    print(error)
"""
    root = Path(__file__).parents[3]
    unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps"]
    drop = "setpriv --ambient-caps=-all --inh-caps=-all"
    switch_off = f'echo 0 > /proc/sys/user/max_user_namespaces && exec {drop} "$@"'
    ran = subprocess.run(
        [*unshare, "sh", "-c", switch_off, "sh", sys.executable, "-c", program, str(tmp_path / "log")],
        env={"PYTHONPATH": str(root), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "sysctl user.max_user_namespaces" in ran.stdout, ran.stdout + ran.stderr
    assert "--sandbox docker" in ran.stdout


def _can_move_other_users_processes() -> bool:
    effective = Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0]
    return bool(int(effective, 16) >> 23 & 1)
