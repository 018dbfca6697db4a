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

from agent.report.terminal import fitted, row, sentences
from agent.report.trial_table import fitted_row, header, trial_lines, void_line
from agent.store.paths import RunPaths
from agent.text import cut, padded, width_of
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose
from tests.agent.report.test_headline import Past
from tests.made_runs import BASELINE, made_run, scored, searched

LONG = "a title that is far longer than what eighty columns leave of a line of the log for it"


def test_a_row_is_cut_and_its_styles_take_no_room() -> None:
    assert row(f"\x1b[32mkept\x1b[0m {'x' * 120}", 100) == f"\x1b[32mkept\x1b[0m {'x' * 94}…\x1b[0m"
    assert row("\x1b[32mkept\x1b[0m", 4) == "\x1b[32mkept\x1b[0m"
    assert row("x" * 120, 100) == "x" * 99 + "…"
    assert row("x" * 120, None) == "x" * 120
    assert row("one two three", 20, [(4, 8)]) == "one three"
    assert row("one two three", None, [(4, 8)]) == "one two three"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("学習率を下げる", 14, "学習率を下げる"), ("学習率を下げる", 13, "学習率を下げ…"),
     ("学習率を下げる", 8, "学習率…"), ("🚀🚀", 3, "🚀…"),
     ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301")],
)  # fmt: skip
def test_wide_characters_take_two_columns_and_marks_none(text: str, columns: int, shown: str) -> None:
    assert row(text, columns) == cut(text, columns) == shown
    assert width_of(shown) <= columns
    assert padded(shown, columns) == shown + " " * (columns - width_of(shown))


def test_wide_characters_keep_the_columns_of_a_table() -> None:
    lines = fitted(("run", "result"), [["夜", "1.5"], ["night", "10"]], 40, right=("result",))
    assert lines == ["run    result", "夜        1.5", "night      10"]
    assert sentences(["学習率 を 下げる"], 8) == ["学習率", "  を", "  下げる"]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (109, "trial  ended  commit   status            val_bpb    change mem GB train s  origin    title"),
        (100, "trial  ended  status            val_bpb    change mem GB train s  origin    title"),
        (90, "trial  ended  status            val_bpb    change  origin    title"),
        (80, "trial  status            val_bpb    change  origin    title"),
        (70, "trial  status            val_bpb    change  title"),
        (40, "trial  status            val_bpb  title"),
        (30, "trial  status            val_…"),
    ],
)
def test_a_narrow_terminal_leaves_columns_out_so_that_titles_keep_their_room(columns: int, shown: str) -> None:
    metric = Metric("val_bpb")
    assert fitted_row(header(metric), metric, None) == header(metric)
    assert fitted_row(header(metric), metric, columns) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("validation_loss", "validation_loss"), ("x" * 40, "x" * 23 + "…"), ("検証損失", "  検証損失")],
)
def test_the_value_column_is_as_wide_as_the_name_of_the_metric(name: str, shown: str) -> None:
    assert f" {shown} " in header(Metric(name))


def test_values_stand_under_the_name_of_their_metric() -> None:
    metric = Metric("validation_loss_of_the_day")
    past = Past().trial(1.0).again(0, 1, 1.01, Purpose.BASELINE)
    heading, first, again = trial_lines(past.history, past.history.timeline, {}, metric, colour=False)
    void = void_line(VoidedAttempt("slow", True, 1.0, "then"), 0, metric, colour=False)
    end = heading.index(" validation_loss_of_the_… ") + 25
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
    return made_run(tmp_path / "runs", trials, all_commits=True, options={"trials": 3}).paths


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["log", "watch", "runs"])
def test_no_row_is_longer_than_the_terminal(command: str, columns: int, paths: RunPaths) -> None:
    name = [] if command == "runs" else ["made"]
    shown = on_terminal([command, *name, "--runs", str(paths.root.parent)], columns)
    assert max(len(line) for line in shown) <= columns
    if command == "runs":
        assert "2.5 (−16.7 %)" in "".join(shown)
        return
    if columns < 80:
        return
    # A live view draws itself again: what it shows is counted once.
    assert len({line for line in shown if "a title that is" in line and line.endswith("…")}) == 2
    assert len({line for line in shown if line.startswith("spent: ")}) == 1


def test_off_a_terminal_rows_are_whole(paths: RunPaths) -> None:
    command = [sys.executable, "-m", "agent", "log", "made", "--runs", str(paths.root.parent)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert LONG in output


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
@pytest.mark.parametrize("words", [["log", "made"], ["log", "made", "-f"], ["show", "made/1"], ["watch", "made"]])
def test_a_terminal_without_colour_gets_none(variable: str, words: list[str], paths: RunPaths) -> None:
    argv = [*words, "--runs", str(paths.root.parent)]
    without = {"NO_COLOR": "1"} if variable == "NO_COLOR" else {"TERM": "dumb"}
    styled = re.compile(r"\x1b\[[0-9;]*m")
    assert styled.search(printed_on_terminal(argv, 80))
    assert not styled.search(printed_on_terminal(argv, 80, **without))


def test_a_dumb_terminal_gets_lines_that_stay(paths: RunPaths) -> None:
    shown = printed_on_terminal(["watch", "made", "--runs", str(paths.root.parent)], 80, TERM="dumb")
    assert "\x1b" not in shown
    assert "spent: " in shown


def on_terminal(argv: list[str], columns: int) -> list[str]:
    """Run a command on a terminal of so many columns; return what its last picture shows, without styles."""
    printed = printed_on_terminal(argv, columns)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed).replace("\r", "\n").splitlines()


def printed_on_terminal(argv: list[str], columns: int, **variables: str) -> str:
    """Run a command on a terminal of so many columns; return all that it prints there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "agent", *argv]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        output = b""
        while chunk := _read(ours):
            output += chunk
    os.close(ours)
    return output.decode()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""
