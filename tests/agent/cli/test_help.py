"""What the help says: whole summaries, options in groups, the same words for the same option, completion."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agent.cli.main import app
from agent.cli.search_options.panels import FIRST, MOST_USED, PANELS
from agent.modes.registry import mode_names

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def help_of(*argv: str, columns: int = 80) -> str:
    """Return what a terminal of that many columns shows for `agent ARGV --help`."""
    context = typer.main.get_command(app).make_context("agent", [], resilient_parsing=True, terminal_width=columns)
    if not argv:
        return context.get_help()
    command = COMMANDS[argv[0]]
    return str(command.make_context(argv[0], [], parent=context, resilient_parsing=True).get_help())


def headings(text: str) -> list[str]:
    return [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]


@pytest.mark.parametrize("columns", [80, 120])
def test_no_summary_is_cut(columns: int) -> None:
    listed = help_of(columns=columns)
    assert "..." not in listed.partition("Commands:")[2]
    for name, command in COMMANDS.items():
        summary = command.help.partition("\n\n")[0]
        assert f"  {name:9}  {summary}\n" in listed
        assert summary.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_line_of_help_fits(name: str) -> None:
    for columns in (80, 120):
        assert max(map(len, help_of(name, columns=columns).splitlines())) <= columns


@pytest.mark.parametrize("name", ["run", "compare"])
def test_the_options_of_a_search_are_in_groups_the_most_used_first(name: str) -> None:
    text = help_of(name)
    expected = (["Arguments"] if name == "compare" else []) + [FIRST, *PANELS]
    assert headings(text) == expected
    first = text.partition(f"{FIRST}:\n")[2].partition("\n\n")[0]
    shown = [line.split()[0] for line in first.splitlines() if line.startswith("  --")]
    known = {parameter.name: parameter.opts[0] for parameter in COMMANDS[name].params}
    assert shown == [known[each] for each in MOST_USED if each in known]


def test_ten_options_of_a_run_come_first() -> None:
    assert len([each for each in COMMANDS["run"].params if each.name in MOST_USED]) == 10


def test_run_and_compare_say_the_same_of_the_same_option() -> None:
    run, compare = ({each.name: each for each in COMMANDS[name].params} for name in ("run", "compare"))
    common = (run.keys() & compare.keys()) - {"name", "ctx"}
    assert len(common) > 20
    for name in common:
        for attribute in ("help", "default", "metavar", "opts", "secondary_opts", "envvar", "rich_help_panel"):
            assert getattr(run[name], attribute) == getattr(compare[name], attribute)


def test_h_is_help_everywhere() -> None:
    for name in (None, *COMMANDS):
        argv = ["-h"] if name is None else [name, "-h"]
        assert app(argv, standalone_mode=False) in (None, 0)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("agent comp", ["compare"]),
        ("agent run --mode cent", [name for name in mode_names() if name.startswith("cent")]),
        ("agent run --sandbox d", ["docker"]),
        ("agent run --track m", ["mlflow"]),
        ("agent replay --sandbox b", ["bubblewrap"]),
    ],
)
def test_a_shell_completes_commands_options_and_what_has_a_row(tmp_path: Path, typed: str, expected: list[str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "_AGENT_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    program = "import sys; from agent.cli.main import main; sys.argv = ['agent']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == expected
    assert list(tmp_path.iterdir()) == []
