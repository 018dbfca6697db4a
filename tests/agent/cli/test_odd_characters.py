"""Characters that a terminal, a file or UTF-8 itself has not: what is said with them is said all the same."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.made_runs import BASELINE, made_run, scored, searched
from tests.pages import details_of

Agent = Callable[..., str]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """Return a function that runs `agent ARGS` where output is encoded as told, and returns what it said."""

    def run(encoding: str, *args: str | bytes) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONIOENCODING": f"{encoding}:strict"}
        command = [sys.executable, "-m", "agent", *args]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode(encoding)

    return run


def test_a_terminal_without_a_character_shows_its_number(agent: Agent, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE, (searched(0.1, title="größer"), scored(2.5, kept=True))])
    assert "gr\\xf6\\xdfer" in agent("ascii", "log")


def test_a_folder_whose_name_is_no_text_is_named(agent: Agent, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/t\xff"
    os.mkdir(folder)
    with open(folder + b"/train.py", "w") as file:
        file.write("RATE = 0.1\nprint('---')\nprint(f'val_loss: {RATE}')\n")
    assert f"wrote {tmp_path}/t\\udcff/task.toml" in agent("utf-8", "init", folder)


def test_half_a_character_in_a_reply_is_on_the_page_as_its_number(agent: Agent, tmp_path: Path) -> None:
    calls: list[dict[str, object]] = [{"messages": [{"role": "user", "content": "ask"}], "reply": "half \ud800 of one"}]
    trials = [BASELINE, (searched(0.1), scored(2.5, kept=True))]
    made_run(tmp_path / "runs", trials, exchanges={1: calls})
    agent("utf-8", "report", "made", "--out", "page.html")
    details = details_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert any("half \\ud800 of one" in text["content"] for text in details["0/1"]["texts"])
    assert "half \\ud800 of one" in agent("utf-8", "show", "1", "--exchange")
