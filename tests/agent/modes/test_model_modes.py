"""Modes with a model through the whole command line: fixed, and centaur with its control."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from agent.report.html.tables import origin_stats
from agent.store.journal import read_history
from agent.trials.trial import Origin
from tests import commands
from tests.agent.llm.fake_server import fake_server, says
from tests.kill_anywhere.killed_runs import Zygote

INSTANT = Path(__file__).parents[2] / "tasks" / "instant"
FIRST = {"WIDTH": 0.9, "SHIFT": 0.1, "DEPTH": 3, "ORDER": "backward"}
BASELINE = {"WIDTH": 2.0, "SHIFT": 0.3, "DEPTH": 4, "ORDER": "forward"}
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def agent(cache: Path, tmp_path: Path) -> Agent:
    """Return a function that runs `agent ARGS` in a folder of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AUTOCENTAUR_CACHE": str(cache),
    }

    def run(*args: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=tmp_path, env=environment)

    return run


def search(agent: Agent, mode: str, *args: str) -> list[dict[str, Any]]:
    """Run mode `mode` and return its trials."""
    done = agent("run", "--task", str(INSTANT), "--mode", mode, "--name", "r", "--json", *args)
    assert done.returncode == 0, done.stderr
    trials: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return trials


def recording(folder: Path, replies: Sequence[str]) -> str:
    """Return --model's value for a recording of `replies`."""
    path = folder / "replies.jsonl"
    path.write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in replies))
    return f"replay:{path}"


def test_fixed_from_a_recording_to_the_reading_commands(agent: Agent, tmp_path: Path) -> None:
    replies = [
        f"I would go narrower.\n```json\n{json.dumps(FIRST)}\n```",
        json.dumps(BASELINE),  # a repeat, sent back,
        json.dumps({**FIRST, "SHIFT": 0.05}),  # and mended
        json.dumps({**FIRST, "DEPTH": 9}),  # out of range, sent back,
        json.dumps({**FIRST, "DEPTH": 0}),  # and wrong again
    ]
    trials = search(agent, "fixed", "--trials", "4", "--model", recording(tmp_path, replies))
    assert [trial["status"] for trial in trials] == ["ok", "ok", "ok", "no_proposal"]
    assert [trial["origin"] for trial in trials] == ["baseline", "llm", "llm", "llm"]
    assert (trials[1]["params"], trials[2]["params"]) == (FIRST, {**FIRST, "SHIFT": 0.05})
    assert "DEPTH: 0 is outside 1 to 8" in agent("show", "3").stdout

    asked = agent("prompt", "r/2").stdout
    assert "WIDTH,log float,0.1,10.0,0.9" in asked
    assert asked.count("----- user -----") == 1


def test_prompts_of_several_workers_are_rebuilt_as_they_were_sent(agent: Agent, tmp_path: Path) -> None:
    replies = [json.dumps({**FIRST, "WIDTH": 0.5 + n / 8}) for n in range(7)]
    options = ["--trials", "8", "--workers", "2", "--queue", "1", "--keep", "any"]
    trials = search(agent, "fixed", *options, "--model", recording(tmp_path, replies))
    assert sorted(trial["number"] for trial in trials) == list(range(8))
    n_pending = 0
    for number in range(1, 8):
        sent = json.loads((tmp_path / f"runs/r/trials/{number:04d}/llm.jsonl").read_text().splitlines()[0])["messages"]
        assert json.loads(agent("prompt", f"r/{number}", "--json").stdout)["messages"] == sent
        n_pending += "running now" in sent[-1]["content"]
    assert n_pending


@pytest.mark.slow
def test_a_stretch_is_rebuilt_with_the_noise_as_it_was_known(agent: Agent, tmp_path: Path) -> None:
    """Trial 1 is lower by less than the noise. Were that a gain, the five trials after it would be a long stretch."""
    replies = [json.dumps({**BASELINE, "WIDTH": width}) for width in (1.98, *(2.1 + n / 8 for n in range(6)))]
    trials = search(agent, "fixed", "--trials", "8", "--keep", "any", "--model", recording(tmp_path, replies))
    assert [trial["kept"] for trial in trials] == [True, True, *[False] * 6]
    sent = json.loads((tmp_path / "runs/r/trials/0007/llm.jsonl").read_text().splitlines()[0])["messages"]
    assert json.loads(agent("prompt", "r/7", "--json").stdout)["messages"] == sent
    assert "No gain beyond the noise" not in sent[-1]["content"]


def test_fixed_asks_an_endpoint_with_a_schema(agent: Agent) -> None:
    with fake_server([says('{"word": "heron"}'), says(json.dumps(FIRST))]) as server:
        url = ["--base-url", server.base_url, "--model", "fake-1"]
        trials = search(agent, "fixed", "--trials", "2", *url)
        asked = server.requests[-1]
    assert [trial["params"] for trial in trials] == [BASELINE, FIRST]
    assert asked["response_format"]["json_schema"]["schema"]["required"] == list(FIRST)


def test_the_echo_hands_the_incumbent_back_and_asks_no_model(agent: Agent) -> None:
    trials = search(agent, "centaur:echo", "--trials", "3", "--llm-every", "2", "--llm-warmup", "1")
    assert [trial["origin"] for trial in trials] == ["baseline", "searcher", "echo"]
    assert [trial["copied_from"] for trial in trials] == [None, None, "incumbent"]
    kept = [trial for trial in trials[:2] if trial["kept"]][-1]
    assert trials[2]["params"] == kept["params"]
    assert trials[2]["val_loss"] == kept["val_loss"]
    assert "calls no model" in agent("prompt", "r/2").stderr


@pytest.mark.parametrize("host", ["cma-es", "local-gp"])
def test_a_centaurs_offers_are_in_log_show_report_and_prompt(agent: Agent, tmp_path: Path, host: str) -> None:
    """A list, one configuration, one that cannot run twice, a copy of the baseline among others."""
    far = {**FIRST, "WIDTH": 9.5, "SHIFT": 0.9, "DEPTH": 8}
    replies = [
        json.dumps({"configurations": [FIRST, far]}),
        json.dumps({**FIRST, "SHIFT": 0.05}),
        json.dumps({**FIRST, "DEPTH": 0}),
        json.dumps({"configurations": [{**FIRST, "DEPTH": 0}]}),
        *[json.dumps({"configurations": [BASELINE, {**far, "WIDTH": 9.0 - n / 8}]}) for n in range(8)],
    ]
    options = ["--host", host, "--llm-every", "1", "--llm-warmup", "0", "--trials", "10", "--keep", "any"]
    trials = search(agent, "centaur", *options, "--model", recording(tmp_path, replies))
    assert [trial["origin"] for trial in trials[:4]] == ["baseline", "llm", "llm", "searcher"]
    assert trials[1]["offer"]["points"] == [FIRST, far]
    assert trials[3]["offer"]["fault"] == "DEPTH: 0 is outside 1 to 8"
    assert (trials[3]["status"], trials[3]["usage"]["calls"]) == ("ok", 2)
    held = [trial for trial in trials[5:] if trial["offer"]["taken"] is None]
    assert held, "the host held nothing back"
    assert {trial["origin"] for trial in held} == {"searcher"}
    assert all(min(trial["offer"]["predictions"]) > trial["offer"]["host_prediction"] for trial in held)
    assert "[offered 1, none passed the screen] " in agent("log").stdout
    shown = agent("show", f"r/{held[0]['number']}").stdout
    assert "offered 1, none passed the screen; its share of the trials was 100%; predicted for its points" in shown
    for number in (1, held[0]["number"]):
        sent = json.loads((tmp_path / f"runs/r/trials/{number:04d}/llm.jsonl").read_text().splitlines()[0])["messages"]
        assert json.loads(agent("prompt", f"r/{number}", "--json").stdout)["messages"] == sent
    found = {each.origin: each for each in origin_stats(read_history(tmp_path / "runs/r/journal.jsonl"))}
    assert found[Origin.SEARCHER].usage is None, "the report counts all calls as the model's"
    usage = found[Origin.LLM].usage
    assert usage is not None
    assert usage.calls == 10


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--mode", "centaur", "--model", "echo"], "give --mode centaur:echo and no --model"),
        (["--mode", "nothing"], "there is no such mode; there are centaur, centaur:echo, fixed"),
        (["--mode", "optuna:NAME"], "there is no such mode"),
        (["--mode", "noise"], "mode noise searches nothing; use `agent noise`"),
        (["--mode", "centaur", "--llm-every", "0"], "--llm-every: it should be 1 or more"),
        (["--mode", "cma-es", "--hints"], "declares no [hints]"),
        (
            ["--mode", "fixed", "--hints"],
            "--hints is for centaur, centaur:echo, cma-es, local, local-gp, tpe, optuna:NAME, random; mode fixed would "
            "ignore it: leave it out",
        ),
        (["--mode", "cma-es", "--model", "m"], "--model is for centaur, fixed, code-edit, centaur-code; mode cma-es"),
        (["--mode", "centaur:echo", "--max-cost", "1"], "--max-cost is for centaur, fixed, code-edit, centaur-code; m"),
        (["--mode", "optuna:GPSampler", "--record", "f"], "--record is for centaur, fixed, code-edit, centaur-code; m"),
        (["--mode", "fixed", "--llm-every", "2"], "--llm-every is for centaur, centaur:echo; mode fixed"),
        (
            ["--mode", "centaur", "--host", "tpe"],
            "--host tpe: choose one of cma-es, local-gp, which can rate a model's",
        ),
        (
            ["--mode", "cma-es", "--host", "local-gp"],
            "--host is for centaur, centaur:echo; mode cma-es would ignore it",
        ),
        (["--mode", "local", "--no-smoke"], "--no-smoke is for code-edit, centaur-code, submitted; mode"),
        (["--mode", "code-edit", "--no-derived"], "random; mode code-edit would ignore it"),
    ],
)
def test_what_cannot_be_is_refused_by_name_before_anything_is_written(
    agent: Agent, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = agent("run", "--task", str(INSTANT), "--name", "r", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "runs" / "r").exists()


AREA = '[derived]\narea = { replaces = "WIDTH", product = "WIDTH * DEPTH", low = 2.0, high = 20.0 }\n'


def test_a_product_holds_for_the_runs_that_search_it_and_for_no_other(warm: Zygote, tmp_path: Path) -> None:
    """With --no-derived the prompt called WIDTH's spread one of area, and area's range refused CMA-ES's own points."""
    task, process = with_table(tmp_path, AREA), warm.within(tmp_path)
    small, large = {**BASELINE, "WIDTH": 0.5, "DEPTH": 2}, {**BASELINE, "DEPTH": 5}
    replies = recording(tmp_path, [json.dumps(small), json.dumps(large)])
    centaur = ["--mode", "centaur", "--llm-every", "1", "--llm-warmup", "0"]
    for name, options in {"fixed": ["--mode", "fixed"], "centaur": centaur}.items():
        for option, answer in {"--derived": large, "--no-derived": small}.items():
            run = [*options, option, "--name", name + option, "--trials", "2", "--model", replies]
            assert process.agent("run", "--task", str(task), *run) == 0, process.said
            (_, trial) = read_history(process.runs.run(name + option).journal).trials
            assert trial.proposal.params == answer
            assert process.agent("prompt", f"{name}{option}/1") == 0
            assert ("area = WIDTH * DEPTH (2 to 20)" in process.said) is (option == "--derived")
            asked = process.runs.run(name + option).trial(1).llm.read_text()
            assert ("area = WIDTH * DEPTH (2 to 20)" in asked) is (option == "--derived")


def with_table(folder: Path, table: str) -> Path:
    """Return the instant task with a table more in its task.toml."""
    task = folder / "task"
    task.mkdir()
    for path in INSTANT.iterdir():
        if path.is_file():
            (task / path.name).write_bytes(path.read_bytes())
    with (task / "task.toml").open("a") as file:
        file.write(f"\n{table}")
    return task


def test_hints_are_where_a_search_begins_and_every_headline_says_so(warm: Zygote, tmp_path: Path) -> None:
    task = with_table(tmp_path, "[hints]\nDEPTH = 3\n")
    process = warm.within(tmp_path)
    for name, arguments in {"plain": [], "hinted": ["--hints"]}.items():
        begin = ["run", "--task", str(task), "--mode", "local", "--name", name, "--trials", "2"]
        assert process.agent(*begin, *arguments) == 0, process.said
    ran = {
        n: [t.proposal.params for t in read_history(process.runs.run(n).journal).trials] for n in ("plain", "hinted")
    }
    assert ran["hinted"] == [BASELINE, {**BASELINE, "DEPTH": 3}]
    assert ran["plain"][1] not in ran["hinted"]
    for command, named in {
        ("log", "hinted"): "run hinted with hints\n",
        ("best", "hinted"): "run hinted with hints\n",
        ("report", "hinted", "--out", "page.html"): "<h1>hinted with hints</h1>",
        ("report", "plain", "hinted", "--out", "page.html"): "<td>local with hints</td>",
    }.items():
        assert process.agent(*command) == 0, process.said
        output = (tmp_path / "page.html").read_text() if command[0] == "report" else process.said
        assert named in output
        assert "plain with hints" not in output
    for reading in ("log", "best"):
        assert process.agent(reading, "plain") == 0
        assert "with hints" not in process.said
