"""What is printed fits the terminal that it is printed on, and stays whole where it is printed on none."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from agent.report.terminal import row, sentences
from agent.report.trial_table import header, spared, trial_lines, void_line
from agent.store.paths import RunPaths
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose
from tests.agent.report.test_headline import Past
from tests.made_runs import BASELINE, made_run, scored, searched

LONG = "a title that is far longer than what eighty columns leave of a line of the log for it"


def test_a_row_is_cut_and_its_styles_take_no_room() -> None:
    assert row(f"\x1b[32mkept\x1b[0m {'x' * 120}", 100, ()) == f"\x1b[32mkept\x1b[0m {'x' * 94}…\x1b[0m"
    assert row("\x1b[32mkept\x1b[0m", 4, ()) == "\x1b[32mkept\x1b[0m"
    assert row("x" * 120, 100, ()) == "x" * 99 + "…"
    assert row("x" * 120, None, ()) == "x" * 120


@pytest.mark.parametrize(
    ("name", "shown"), [("val_bpb", "   val_bpb"), ("validation_loss", "validation_loss"), ("x" * 40, "x" * 24)]
)
def test_a_narrow_terminal_spares_commit_memory_and_seconds_for_the_title(name: str, shown: str) -> None:
    metric = Metric(name, "minimise")
    heading = header(metric)
    assert f" {shown} " in heading
    wide = 50 + len(shown)
    assert row(heading, wide, spared(metric)) == f"trial  status         {shown}    change origin    title"
    assert row(heading, wide - 8, spared(metric)) == f"trial  status         {shown}    change origin  …"


def test_values_stand_under_the_name_of_their_metric() -> None:
    metric = Metric("validation_loss_of_the_day")
    past = Past().trial(1.0).again(0, 1, 1.01, Purpose.BASELINE)
    heading, first, again = trial_lines(past.history, past.history.timeline, {}, metric, colour=False)
    void = void_line(VoidedAttempt("slow", True, 1.0, "then"), 0, metric, colour=False)
    end = heading.index(" validation_loss_of_the_d ") + 25
    assert (first[end - 8 : end], again[end - 8 : end]) == ("1.000000", "1.010000")
    origin = heading.index("origin")
    assert [line[origin:].split()[0] for line in (first, again, void)] == ["llm", "repeat", "machine"]


def test_a_sentence_goes_on_below_between_words() -> None:
    assert sentences(["  one two three"], 9) == ["  one two", "    three"]
    assert sentences(["", "one"], 9) == ["", "one"]
    assert sentences(["one two three"], None) == ["one two three"]


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    trials = [BASELINE, (searched(0.25, title=LONG), scored(2.5, kept=True)), (searched(0.5, title=LONG), scored(2.9))]
    return made_run(tmp_path / "runs", trials).paths


@pytest.mark.parametrize("command", ["log", "watch"])
def test_no_row_is_longer_than_the_terminal(command: str, paths: RunPaths) -> None:
    shown = on_terminal([command, "made", "--runs", str(paths.root.parent)], columns=80)
    assert max(len(line) for line in shown) <= 80
    # A live view draws itself again: what it shows is counted once.
    assert len({line for line in shown if "a title that is" in line and line.endswith("…")}) == 2
    assert len({line for line in shown if line.startswith("spent: ")}) == 1


def test_off_a_terminal_rows_are_whole(paths: RunPaths) -> None:
    command = [sys.executable, "-m", "agent", "log", "made", "--runs", str(paths.root.parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert LONG[:55] in said


def on_terminal(argv: list[str], columns: int) -> list[str]:
    """Run a command on a terminal of so many columns; return what its last picture shows, without styles."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "agent", *argv]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "\n").splitlines()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""
