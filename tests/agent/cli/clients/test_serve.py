"""`agent mcp` as a client starts it: over standard input and output, and what is wrong in one line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from agent.store.run_lock import locked
from tests.agent.server.conftest import Place, place_in
from tests.kill_anywhere.killed_runs import INSTANT

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}},
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


def started(place: Place, *argv: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "mcp", *(argv or place.options)],
        cwd=place.folder, env=place.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_round_trip_over_stdio(place: Place) -> None:
    """From no run to a verdict, by a process that a client starts; then another server of the same run."""
    seen: list[str] = []

    async def progress(_seconds: float, _total: float | None, text: str | None) -> None:
        seen.append(str(text))

    async def talk(*argv: str) -> list[dict[str, Any]]:
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "agent", "mcp", *argv], env=place.environment, cwd=place.folder
        )
        async with Client(parameters) as client:
            brief = (await client.call_tool("brief", {})).structured_content
            sent = await client.call_tool("submit", {"title": f"{len(seen)}", "script": place.script(0.9 + len(seen))})
            verdict: dict[str, Any] = {"is_final": False}
            while not verdict["is_final"]:
                arguments = {"submission": sent.structured_content["submission"], "seconds": 50}
                waited = await client.call_tool("wait", arguments, progress_callback=progress)
                verdict = waited.structured_content
            return [brief, verdict]

    brief, verdict = anyio.run(talk, *place.options)
    assert (brief["incumbent"], brief["budget_left"]) == (None, "100 trials")
    assert (verdict["trial"], verdict["status"], verdict["client_trusted"]) == (1, "ok", True)
    assert "queued" in seen
    brief, verdict = anyio.run(talk, "--name", "r", "--runs", "runs")  # what began it need not be said again
    assert (brief["incumbent"], verdict["trial"]) == (1, 2)
    place.quiet()


def test_nothing_but_the_protocol_is_on_stdout(place: Place) -> None:
    asked = [
        HELLO,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "budget", "arguments": {}}},
    ]
    with started(place) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        answers = []
        for message in asked:
            server.stdin.write(json.dumps(message) + "\n")
            server.stdin.flush()
            if "id" in message:
                answers.append(json.loads(server.stdout.readline()))
        server.stdin.write("this is not JSON\n")
        server.stdin.close()
        rest = server.stdout.read()
        assert server.wait() == 0
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert [json.loads(line)["jsonrpc"] for line in rest.splitlines()] == ["2.0"] * len(rest.splitlines())
    assert answers[2]["result"]["structuredContent"]["left"] == "100 trials"
    assert not (place.runs / "r").exists()  # nobody asked for a brief, so nothing has started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(place: Place, number: signal.Signals) -> None:
    with started(place) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(HELLO) + "\n")
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["id"] == 1
        server.send_signal(number)
        assert server.wait() == 130
        assert "Traceback" not in server.stderr.read() if server.stderr else True


WRONG: list[tuple[list[str], str, int]] = [
    ([], "agent mcp serves one run; name it with --name RUN", 2),
    (["--name", "r", "--task", "nowhere"], "nowhere", 2),
    (["--name", "r", "--task", "empty"], "empty", 2),
    (["--name", "r", "--mode", "random"], "`agent mcp` has no option --mode", 2),
    (["--name", "r", "--json"], "`agent mcp` has no option --json", 2),
    (["--name", "../r"], "--name '../r': use at most 81 letters", 2),
    (["--name", "r", "--model", "m"], "--model", 2),
    (["--name", "r", "--trials", "many"], "--trials", 2),
    (["--name", "r", "--sandbox", "none"], "there is no such sandbox", 2),
    (["--name", "r", "--no-such-option"], "--no-such-option", 2),
    (["--name", "r", "--runs", "file"], "is a file; give a folder with --runs DIR", 2),
]


@pytest.mark.parametrize(("argv", "expected", "code"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_one_line(place: Place, argv: list[str], expected: str, code: int) -> None:
    (place.folder / "empty").mkdir()
    (place.folder / "file").write_text("")
    task = [] if "--task" in argv else ["--task", str(INSTANT)]
    done = place.agent("mcp", *argv, *task)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert expected in line
    assert not (place.folder / "runs" / "r").exists()


def test_a_task_that_nobody_agreed_to_is_named_with_the_remedy(place: Place) -> None:
    task = place.folder / "task"
    task.mkdir()
    (task / "train.py").write_text((INSTANT / "train.py").read_text())
    (task / "prepare.sh").write_text("echo\n")
    settings = (INSTANT / "task.toml").read_text().replace("[score]", '[data]\nprepare = ["sh", "prepare.sh"]\n[score]')
    (task / "task.toml").write_text(settings.replace('kind = "printed"', 'kind = "printed"'))
    done = Place(place.folder, {**place.environment, "AUTOCENTAUR_TRUST": ""}).agent(
        "mcp", "--name", "r", "--task", "task"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "run `agent trust task` or add --trust" in done.stderr


@pytest.mark.slow
def test_a_run_that_contradicts_the_options_is_not_served(place: Place) -> None:
    assert place.agent("run", "--mode", "submitted", *place.options).returncode == 0
    assert place.agent("mcp", *place.options).returncode == 0
    assert place.agent("mcp", "--name", "r", "--workers", "1").returncode == 0
    other = place.folder / "other"
    other.mkdir()
    for name in ("task.toml", "train.py"):
        (other / name).write_text((INSTANT / name).read_text().replace("WIDTH = 2.0", "WIDTH = 1.0"))
    for argv, expected in (
        (["--trials", "700"], "r began with other options: --trials 100 → 700; leave them out (`agent resume r` can"),
        (["--keep", "any"], "--keep two-tier → any"),
        (["--seed", "3"], "--seed 0 → 3"),
        (["--task", "other"], "has changed since r began"),
    ):
        done = place.agent("mcp", "--name", "r", *argv)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        (line,) = done.stderr.splitlines()
        assert expected in line
    assert place.agent("resume", "r", "--trials", "101").returncode == 0
    assert place.agent("mcp", "--name", "r", "--trials", "101").returncode == 0
    assert place.agent("mcp", "--name", "r", "--trials", "100").returncode == 0  # what it began with


def test_a_run_of_another_mode_takes_no_submissions(place: Place) -> None:
    assert place.agent("run", *place.options, "--mode", "random", "--trials", "1").returncode == 0
    done = place.agent("mcp", "--name", "r")
    assert done.returncode == 2
    assert done.stderr == (
        "error: r takes no submissions: its mode is random; start one that does with `agent run --mode submitted`\n"
    )


def test_a_run_that_another_process_holds_is_served(place: Place) -> None:
    assert place.agent("run", "--mode", "submitted", *place.options).returncode == 0
    with locked(place.client().paths):
        assert place.agent("mcp", "--name", "r").returncode == 0


def test_the_extra_is_named_where_it_is_missing(place: Place) -> None:
    program = (
        "import sys, importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'mcp' else found(name, *rest)\n"
        "from agent.cli.main import main\nsys.argv[0] = 'agent'\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "mcp", *place.options],
        cwd=place.folder, env={**place.environment, "PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: agent mcp needs mcp, which is not installed: pip install 'autocentaur[mcp]'\n"
