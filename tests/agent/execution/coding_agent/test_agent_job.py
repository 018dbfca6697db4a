"""A coding agent's job in the real sandbox, with small programs of our own in the place of an agent."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.agents.headless import HeadlessCommand, Program
from agent.execution.coding_agent.agent_job import (
    BASE_URL,
    MOST_SCRIPT,
    SOCKET_FOLDERS,
    AgentLimits,
    AgentWork,
    open_agent_sandbox,
    run_agent,
    socket_folder,
)
from sandbox.job import Sandbox
from tests.contracts.sandbox_contract import processes_with

SCRIPT = b"WIDTH = 1\n"
FILES = {"train.py": SCRIPT, "lib/frozen.py": b"FROZEN = 1\n", "NOTES.md": b"# Notes\n"}
Run = Callable[..., AgentWork]


@pytest.fixture
def gateway_socket(tmp_path: Path) -> Iterator[Path]:
    """The socket of a gateway that answers each connection with what it received, in capitals."""
    path = tmp_path / "gateway"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(client.recv(1000).upper())

    threading.Thread(target=serve, daemon=True).start()
    yield path
    listener.close()


@pytest.fixture
def run(sandbox: Sandbox, gateway_socket: Path, tmp_path: Path) -> Run:
    def of(code: str, **limits: float) -> AgentWork:
        command = HeadlessCommand(
            ("python", "-c", textwrap.dedent(code)), {"ASKED": "yes"}, {".agent/config": "theirs"}
        )
        return run_agent(
            sandbox,
            command,
            Program("python"),
            FILES,
            editable=("train.py",),
            gateway_socket=gateway_socket,
            folder=tmp_path / "job",
            label="r/0001/agent",
            limits=AgentLimits(**{"seconds": 60.0, **limits}),  # type: ignore[arg-type]
        )

    return of


def test_it_edits_the_script_and_says_so(run: Run) -> None:
    work = run("""
        import os, sys
        assert os.getcwd() == "/tmp/work" and os.environ["ASKED"] == "yes"
        assert open(os.path.expanduser("~/.agent/config")).read() == "theirs"
        assert open("lib/frozen.py").read() == "FROZEN = 1\\n"
        open("train.py", "w").write("WIDTH = 2\\n")
        print("done")
        print("noise", file=sys.stderr)
        sys.exit(3)
    """)
    assert work.files == {"train.py": "WIDTH = 2\n"}
    assert (work.stdout, work.stderr, work.exit_code, work.stopped) == ("done\n", "noise\n", 3, "")
    assert work.other_files == ()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os; os.remove('train.py')", "it was deleted"),
        ("import os; os.remove('train.py'); os.symlink('/etc/passwd', 'train.py')", "it became a link"),
        ("import os; os.remove('train.py'); os.mkfifo('train.py')", "it is not a file any more"),
        ("import os; os.remove('train.py'); os.mkdir('train.py')", "it cannot be read|it is not a file"),
        ("open('train.py', 'wb').write(b'x' * 300_000)", f"it has more than {MOST_SCRIPT} bytes"),
        ("open('train.py', 'wb').write(b'\\xff\\xfe')", "it is not UTF-8 text any more"),
    ],
)
def test_a_script_that_cannot_be_taken_is_named(run: Run, code: str, fault: str) -> None:
    work = run(code)
    assert work.files == {}
    assert any(part in work.faults["train.py"] for part in fault.split("|"))


def test_other_files_are_listed_and_not_taken(run: Run) -> None:
    work = run("""
        import os
        os.chmod("lib/frozen.py", 0o644)
        open("lib/frozen.py", "w").write("FROZEN = 2\\n")
        os.makedirs("new")
        open("new/file.py", "w").write("x")
        os.symlink("/usr", "linked")
    """)
    assert work.files == {"train.py": SCRIPT.decode()}
    assert work.other_files == ("lib/frozen.py", "linked", "new/file.py")


def test_its_only_way_out_is_the_gateway(run: Run) -> None:
    work = run(f"""
        import os, socket
        port = int("{BASE_URL}".rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as gateway:
            gateway.sendall(b"hello")
            print(gateway.recv(100))
        for address in (("1.1.1.1", 53), ("10.0.0.1", 80)):
            try:
                socket.create_connection(address, timeout=5)
            except OSError as error:
                print(type(error).__name__, error.errno)
        print(sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else "no sys")
        print(os.path.exists({__file__!r}), os.path.exists("/home"), os.environ.get("HOME"))
    """)
    lines = work.stdout.splitlines()
    assert lines[0] == "b'HELLO'"
    assert lines[1:3] == ["OSError 101", "OSError 101"]  # the network is unreachable
    assert lines[3] in ("no sys", "['lo']")
    assert lines[4] == "False False /tmp/home"


def test_nothing_of_it_outlives_it(run: Run) -> None:
    mark = f"outlives-{os.getpid()}"
    work = run(f"""
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{mark}"], start_new_session=True)
        open("train.py", "w").write("WIDTH = 2\\n")
    """)
    assert work.files == {"train.py": "WIDTH = 2\n"}
    assert processes_with(mark) == []


def test_a_stalled_agent_is_stopped_and_its_half_made_edit_not_taken(run: Run) -> None:
    work = run("import time; open('train.py', 'w').write('half'); time.sleep(600)", seconds=3.0)
    assert work.files == {}
    assert work.stopped == "it was stopped after 3 s"


@pytest.mark.parametrize(
    "code",
    [
        "print('flood ' * 10_000_000)",
        "import os\nwhile True: open('/tmp/work/fill', 'ab').write(b'x' * 2**20)",
        "import os\nfor n in range(1000):\n    os.fork() or __import__('time').sleep(100)",
        "x = [b'x' * 2**26 for _ in range(100)]",
    ],
)
def test_what_it_may_use_is_bounded(run: Run, code: str) -> None:
    work = run(code, seconds=30.0, memory_gb=0.5, scratch_mb=64.0, processes=32)
    assert work.exit_code != 0 or work.stopped or len(work.stdout) <= 200_000


def test_a_result_that_it_writes_itself_is_only_a_result(run: Run) -> None:
    work = run("""
        import os, signal
        open("/out/artifact", "w").write('{"files": {"train.py": {"text": 3}}, "exit_code": "x"}')
        os.kill(os.getppid(), signal.SIGKILL)
    """)
    assert work.files == {}
    assert work.stopped


def test_a_program_that_is_not_there_is_named(sandbox: Sandbox, gateway_socket: Path, tmp_path: Path) -> None:
    work = run_agent(
        sandbox,
        HeadlessCommand(("/agent/bin/none",)),
        Program("/agent/bin/none"),
        FILES,
        editable=("train.py",),
        gateway_socket=gateway_socket,
        folder=tmp_path / "job",
        label="r/0001/agent",
        limits=AgentLimits(),
    )
    assert work.exit_code == 127
    assert "/agent/bin/none cannot be started" in work.stderr


def test_sockets_of_killed_processes_are_removed_when_a_sandbox_is_opened() -> None:
    code = f"from sandbox.host_identity import own_folder; print(own_folder({SOCKET_FOLDERS!r}))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    left = Path(printed.strip())
    (left / "gateway").touch()
    with socket_folder() as own:
        open_agent_sandbox(frozenset()).close()
        assert not left.exists()
        assert own.is_dir()
    assert not own.exists()
