"""A command of the user: its input, its output, and its time limit."""

import os
import time
from pathlib import Path

from agent.cli.notifications.shell_command import ShellResult, run_shell
from tests.contracts.sandbox_contract import processes_with

LONG = 600.0
PATH = {"PATH": os.environ["PATH"]}


def test_it_reads_the_document_and_its_last_line_is_kept(tmp_path: Path) -> None:
    result = run_shell("cat > said; echo first; echo the last >&2; exit 3", "a document", PATH, tmp_path, LONG)
    assert result == ShellResult(3, "the last")
    assert (tmp_path / "said").read_text() == "a document"


def test_a_command_that_reads_nothing_of_a_long_document_ends(tmp_path: Path) -> None:
    assert run_shell("echo $A", "x" * 10_000_000, {**PATH, "A": "yes"}, tmp_path, LONG) == ShellResult(0, "yes")


def test_of_an_endless_output_only_the_end_is_kept(tmp_path: Path) -> None:
    assert run_shell("yes | head -c 30000000; echo; echo end", "", PATH, tmp_path, LONG) == ShellResult(0, "end")


def test_its_output_cannot_steer_a_terminal(tmp_path: Path) -> None:
    assert run_shell(r"printf '\033[2Jred\n'", "", PATH, tmp_path, LONG) == ShellResult(0, "[2Jred")


def test_at_the_limit_it_is_killed_with_what_it_started(tmp_path: Path) -> None:
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    line = f"echo begun; (exec -a {mark} sleep 5000) & sleep 5000"
    result = run_shell(f"bash -c '{line}'", "", PATH, tmp_path, 2.0)
    assert result == ShellResult(None, "begun")
    ends = time.monotonic() + LONG
    while processes_with(mark) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not processes_with(mark)


def test_what_it_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    result = run_shell("sleep 5000 & echo $!", "", PATH, tmp_path, LONG)
    os.kill(int(result.last_line), 9)
    assert result.code == 0
    assert time.monotonic() - began < LONG
