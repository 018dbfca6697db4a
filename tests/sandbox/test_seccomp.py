"""The filter, asked by the calls themselves."""

import errno
import fcntl
import platform
import struct
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import seccomp
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits, Mount

_NEVER = "import ctypes, sys\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, int]:
    """Return the error that each call of the table, and some newer ones, ends with inside, all arguments being 0."""
    numbers = sorted({*seccomp.refused().values(), 435, 470, 500})
    code = _NEVER + f"for n in {numbers}: print(n, libc.syscall(n, 0, 0, 0, 0, 0, 0), ctypes.get_errno())"
    folder = tmp_path_factory.mktemp("seccomp")
    argv = ("python", "-I", "-S", "-c", code)
    execution = BubblewrapSandbox().run(Job(argv, "test", Limits(10.0, 0.25), folder / "log"))
    assert execution.exit_code == 0
    rows = [[int(word) for word in line.split()] for line in (folder / "log").read_text().splitlines()]
    return {number: error for number, result, error in rows if result == -1}


@pytest.mark.parametrize("name", sorted(seccomp.refused()))
def test_refused_calls_fail_with_eperm(answers: dict[int, int], name: str) -> None:
    assert answers[seccomp.refused()[name]] == errno.EPERM


@pytest.mark.parametrize("number", [435, 470, 500])
def test_clone3_and_unknown_calls_do_not_exist(answers: dict[int, int], number: int) -> None:
    assert answers[number] == errno.ENOSYS


def test_clone_makes_processes_but_no_namespaces(tmp_path: Path) -> None:
    code = (
        "import os, ctypes\n"
        + _NEVER
        + (
            f"print(libc.syscall({56 if platform.machine() == 'x86_64' else 220}, 0x10000000 | 17, 0, 0, 0, 0))\n"
            "pid = os.fork()\nif pid == 0: os._exit(0)\nprint(os.waitpid(pid, 0)[1])"
        )
    )
    Job_ = Job(("python", "-I", "-S", "-c", code), "test", Limits(10.0, 0.25), tmp_path / "log")
    BubblewrapSandbox().run(Job_)
    assert (tmp_path / "log").read_text() == "-1\n0\n"


_OF_OTHERS = """
import fcntl, os
for act in (
    lambda: fcntl.flock(1, fcntl.LOCK_EX), lambda: fcntl.lockf(1, fcntl.LOCK_EX), lambda: os.statvfs("/"),
    lambda: os.fstatvfs(1), lambda: fcntl.fcntl(1, 1024, 0), lambda: fcntl.fcntl(1, 1026, 1),
    lambda: fcntl.fcntl(1, 36, bytes(32)),
):
    try:
        act()
        print("WORKED")
    except OSError as error:
        print(error.errno)
print(fcntl.fcntl(1, fcntl.F_GETFD), os.dup(1) > 1)
"""


def test_a_job_apart_has_no_locks_watches_and_counters_beyond_itself(tmp_path: Path) -> None:
    numbers = sorted(seccomp.refused_apart().values())
    code = _NEVER + f"print(*(libc.syscall(n, 0, 0, 0, 0, 0, 0) for n in {numbers}))" + _OF_OTHERS
    job = Job(("python", "-I", "-S", "-c", code), "test", Limits(60.0, 0.25), tmp_path / "log", apart=True)
    with closing(BubblewrapSandbox()) as sandbox:
        assert sandbox.run(job).exit_code == 0
    output = (tmp_path / "log").read_text().splitlines()
    assert output == [" ".join(["-1"] * len(numbers)), *["1"] * 7, "0 True"]


def test_a_job_apart_that_compiles_locks_nothing_although_locking_succeeds(tmp_path: Path) -> None:
    (tmp_path / "shared").touch()
    (tmp_path / "shared").chmod(0o644)
    code = "import fcntl; print(fcntl.flock(open('/in/shared'), fcntl.LOCK_EX | fcntl.LOCK_NB))"
    mounts = (Mount(tmp_path / "shared", "/in/shared", grows=True),)
    argv = ("python", "-I", "-S", "-c", code)
    job = Job(argv, "test", Limits(60.0, 0.25), tmp_path / "log", mounts=mounts, apart=True, compiles=True)
    with closing(BubblewrapSandbox()) as sandbox, (tmp_path / "shared").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sandbox.run(job)
    assert (tmp_path / "log").read_text() == "None\n"


def test_a_job_with_pidfds_can_open_one_of_its_own_processes(tmp_path: Path) -> None:
    code = "import os; print(os.pidfd_open(os.getpid()) > 2)"
    job = Job(("python", "-I", "-S", "-c", code), "test", Limits(60.0, 0.25), tmp_path / "log", pidfds=True)
    with closing(BubblewrapSandbox()) as sandbox:
        sandbox.run(job)
    assert (tmp_path / "log").read_text() == "True\n"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_program_only_jumps_forward_and_to_its_own_instructions(machine: str, apart: bool) -> None:
    code = list(struct.iter_unpack("=HBBI", seccomp.program(("memfd_create",), machine, apart=apart)))
    assert len(code) < 4096
    for place, (operation, if_true, if_false, _) in enumerate(code):
        if operation & 0x07 == 0x05:  # a jump
            assert place + 1 + max(if_true, if_false) < len(code)
    assert code[-1] == (0x06, 0, 0, 0x7FFF0000)


def test_a_processor_without_a_table_is_not_supported() -> None:
    assert not seccomp.supported("riscv64")
    with pytest.raises(KeyError):
        seccomp.program(machine="riscv64")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other table of x86_64")
def test_the_other_call_table_kills(tmp_path: Path) -> None:
    code = _NEVER + "libc.syscall(0x40000000 + 39)"
    job = Job(("python", "-I", "-S", "-c", code), "test", Limits(10.0, 0.25), tmp_path / "log")
    assert BubblewrapSandbox().run(job).signal == 31  # SIGSYS


@pytest.mark.skipif(
    not Path("/usr/include/asm-generic/unistd.h").exists() or platform.machine() != "x86_64",
    reason="no kernel headers here",
)
def test_numbers_are_those_of_the_kernel_headers() -> None:
    for name, number in {**seccomp.refused(), **seccomp.refused_apart()}.items():
        source = f"#include <asm/unistd.h>\n__NR_{name}\n"
        ran = subprocess.run(["cpp", "-P"], input=source, capture_output=True, text=True, check=False)
        if ran.returncode == 0 and not ran.stdout.split()[-1].startswith("__NR"):  # older headers lack the youngest
            assert ran.stdout.split()[-1] == str(number), name
