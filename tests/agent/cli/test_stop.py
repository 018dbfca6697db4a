"""Signals to a real run: stopped in order, marked, nothing left running, and gone on with to the same end."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.store.journal import read_history
from tests.contracts.sandbox_contract import processes_with
from tests.kill_anywhere.killed_runs import Zygote, contents_of

pytestmark = pytest.mark.slow

SLOW = """
[task]
name = "slow"
script = "train.py"
command = ["python", "-I", "-S", "train.py"]
[metric]
name = "loss"
[score]
kind = "printed"
[budget]
unit = "steps"
amount = 1
counted_by = "script"
[limits]
cpus = 0.2
wall_seconds = 6000
memory_gb = 0.25
output_mb = 1
scratch_mb = 1
[machine]
canary = "off"
[space]
WIDTH = { type = "float", low = 0.1, high = 10.0 }
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A task whose trials last until the file `gate/go` is there; each shows a word of its own while it runs."""
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text(SLOW)
    (task / "train.py").write_text(
        "import os, sys, time\nWIDTH = 2.0\nif WIDTH != 2.0 and not os.path.exists('/gate/go'):\n"
        f"    os.execv(sys.executable, ['{mark(tmp_path)}', '-c', 'import time; time.sleep(5000)'])\n"
        "print(f'---\\nloss: {WIDTH}')\n"
    )
    (tmp_path / "gate").mkdir()
    with (task / "task.toml").open("a") as file:
        file.write(f'[environment]\nmounts = [{{ source = "{tmp_path}/gate", target = "/gate" }}]\n')
    return task


def mark(folder: Path) -> str:
    """Return the word that a trial of this test shows as its command."""
    return f"trial-of-{abs(hash(str(folder)))}"


@contextmanager
def begun(
    folder: Path, *, terminal: bool = False, before: str = "", workers: int = 1
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start a run whose first trials do not end, one for each worker; yield it and, for a terminal, our end of that."""
    command = [sys.executable, "-m", "agent", "run", "--task", str(folder / "task"), "--mode", "random"]
    command += ["--trials", str(workers + 2), "--name", "r", *(["--workers", str(workers)] if workers > 1 else [])]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        "AUTOCENTAUR_TRUST": "1",
    }
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    ours, theirs = pty.openpty() if terminal else (-1, -1)
    out = theirs if terminal else (folder / "said").open("wb")
    if before:
        command = [before, *command]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs if terminal else subprocess.DEVNULL,
        stdout=out, stderr=out, start_new_session=True,
        preexec_fn=(lambda: _control(theirs)) if terminal else None,  # noqa: PLW1509
    )  # fmt: skip
    if terminal:
        os.close(theirs)
        os.set_blocking(ours, False)
    try:
        deadline = time.monotonic() + 600
        while len(processes_with(mark(folder))) < workers:
            assert process.poll() is None
            assert time.monotonic() < deadline
            if terminal:
                _read(ours)
            time.sleep(0.02)
        yield process, ours
    finally:
        process.kill()
        process.wait()


def _control(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except (BlockingIOError, OSError):
        return b""


def goes_on(warm: Zygote, folder: Path) -> None:
    """Open the gate, and let the run come to its end."""
    agent = warm.within(folder)
    assert agent.agent("log", "r") == 0, agent.said
    assert "interrupted" in agent.said
    (folder / "gate" / "go").touch()
    assert agent.agent("resume", "r") == 0, agent.said
    assert agent.agent("log", "--verify", "r") == 0, agent.said
    events = [event["event"] for event in contents_of(agent.runs, "r")["journal"] if "number" in event]
    assert events == ["trial_started", "trial_finished"] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_the_trial_and_the_run_can_be_resumed(
    warm: Zygote, slow: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with begun(tmp_path) as (process, _):
        process.send_signal(number)
        assert process.wait(timeout=600) == 130
    assert processes_with(mark(tmp_path)) == []
    output = (tmp_path / "said").read_text()
    assert output.endswith("interrupted; continue with `agent resume r`\n"), output
    assert "Traceback" not in output
    goes_on(warm, tmp_path)


def test_one_signal_stops_all_trials_of_several_workers_and_resuming_runs_them_again(
    warm: Zygote, slow: Path, tmp_path: Path
) -> None:
    with begun(tmp_path, workers=4) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 130
    assert processes_with(mark(tmp_path)) == []
    output = (tmp_path / "said").read_text()
    assert output.endswith("interrupted; continue with `agent resume r`\n"), output
    assert "Traceback" not in output
    journal = warm.within(tmp_path).runs.run("r").journal
    before = journal.read_text()
    assert sorted(read_history(journal).in_flight) == [1, 2, 3, 4]
    (tmp_path / "gate" / "go").touch()
    agent = warm.within(tmp_path)
    assert agent.agent("resume", "r") == 0, agent.said
    assert agent.agent("log", "--verify", "r") == 0, agent.said
    assert journal.read_text().startswith(before)
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert [events.count(f"trial_{what}") for what in ("started", "finished")] == [6, 6]


def test_a_second_signal_ends_it_at_once(warm: Zygote, slow: Path, tmp_path: Path) -> None:
    with begun(tmp_path) as (process, _):
        os.kill(process.pid, signal.SIGSTOP)  # so that both are there when it goes on
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(timeout=600) == 130
    assert "Traceback" not in (tmp_path / "said").read_text()
    deadline = time.monotonic() + 600
    while processes_with(mark(tmp_path)):  # the kernel ends them with their parent
        assert time.monotonic() < deadline
        time.sleep(0.02)
    goes_on(warm, tmp_path)


def test_a_closed_terminal_stops_it(warm: Zygote, slow: Path, tmp_path: Path) -> None:
    with begun(tmp_path, terminal=True) as (process, ours):
        os.close(ours)
        assert process.wait(timeout=600) == 130
    assert processes_with(mark(tmp_path)) == []
    goes_on(warm, tmp_path)


def test_nohup_outlives_its_terminal(slow: Path, tmp_path: Path) -> None:
    with begun(tmp_path, before="nohup") as (process, _):
        process.send_signal(signal.SIGHUP)
        (tmp_path / "gate" / "go").touch()
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 130
