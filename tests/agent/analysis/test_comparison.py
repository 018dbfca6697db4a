"""`agent compare` as users call it: real runs of a task of milliseconds, made in turns, killed and gone on with."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agent.llm.fake_server import fake_server, says
from tests.kill_anywhere.killed_runs import INSTANT, ROOT, Death, Zygote, contents_of

SIGKILL = -9
MODES, SEEDS, TRIALS = ("random", "cma-es"), 2, 3
T_QUANTILE = 12.706204736432095  # of Student's t with SEEDS - 1 degrees of freedom, two-sided, 95 %
ASKED = ["compare", "--task", str(INSTANT), "--modes", ",".join(MODES), "--seeds", str(SEEDS), "--name", "c"]
BEGIN = [*ASKED, "--trials", str(TRIALS)]
RUNS = [f"c-{mode}-s{seed}" for mode in MODES for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def unbroken(warm: Zygote) -> Zygote:
    """A comparison that nobody killed, and the lines that it printed. No test changes it."""
    process = warm.within(warm.folder / "compare-unbroken")
    assert process.agent(*BEGIN) == 0, process.said
    (process.folder / "said").write_text(process.said)
    return process


@pytest.fixture
def finished(unbroken: Zygote, warm: Zygote, tmp_path: Path) -> Zygote:
    """A copy of it, which a test may change."""
    shutil.copytree(unbroken.folder / "runs", tmp_path / "runs", symlinks=True)
    return Zygote(warm._process, tmp_path)


def order(output: str) -> list[tuple[int, str]]:
    """Return number and run of each trial, in the order in which they ended."""
    rows = [line.split() for line in output.splitlines()]
    trials = [row for row in rows if len(row) > 4 and row[0] in RUNS and row[1].isdigit()]
    return [(int(row[1]), row[0]) for row in trials if re.fullmatch("[0-9a-f]{7}", row[3])]  # a repeat has no commit


def events(process: Zygote, run_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.runs.run(run_id).journal.read_text().splitlines()]


def shown(process: Zygote, *more: str) -> dict[str, Any]:
    assert process.agent("compare", "c", "--json", *more) == 0, process.said
    document: dict[str, Any] = json.loads(process.said)
    return document


def error_of(process: Zygote, *argv: str, code: int = 2) -> str:
    assert process.agent(*argv) == code, process.said
    lines = [line for line in process.said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, process.said
    assert "Traceback" not in process.said
    return lines[0]


def test_the_runs_take_turns_in_an_order_that_changes(unbroken: Zygote) -> None:
    ended = order((unbroken.folder / "said").read_text())
    rounds = [[run for number, run in ended if number == n] for n in range(TRIALS)]
    assert ended == [(n, run) for n in range(TRIALS) for run in rounds[n]]  # one trial of each before the next of any
    assert all(sorted(each) == sorted(RUNS) for each in rounds)
    assert len({tuple(each) for each in rounds}) == TRIALS


def test_its_runs_are_ordinary_runs(unbroken: Zygote) -> None:
    assert unbroken.agent("log", "c-cma-es-s1") == 0
    assert "run c-cma-es-s1" in unbroken.said
    assert unbroken.agent("log", "--verify", "c-cma-es-s1") == 0, unbroken.said
    alone = ["run", "--task", str(INSTANT), "--mode", "cma-es", "--seed", "1", "--trials", str(TRIALS), "--name"]
    other = unbroken.within(unbroken.folder / "alone")
    assert other.agent(*alone, "c-cma-es-s1") == 0, other.said
    assert contents_of(other.runs, "c-cma-es-s1") == contents_of(unbroken.runs, "c-cma-es-s1")


def test_the_table_is_what_the_journals_say(unbroken: Zygote) -> None:
    document = shown(unbroken)
    best: dict[str, list[float]] = {}
    half: dict[str, list[float]] = {}
    for mode in MODES:
        finished = {
            seed: [e for e in events(unbroken, f"c-{mode}-s{seed}") if e["event"] == "trial_finished"]
            for seed in range(SEEDS)
        }
        kept = {s: [e["outcome"]["val_loss"] for e in each if e["outcome"].get("kept")] for s, each in finished.items()}
        early = {s: [e for e in each if e["number"] < TRIALS // 2] for s, each in finished.items()}
        best[mode] = [min(kept[seed]) for seed in range(SEEDS)]
        half[mode] = [min(e["outcome"]["val_loss"] for e in early[s] if e["outcome"].get("kept")) for s in range(SEEDS)]
    for row, mode in zip(document["modes"], MODES, strict=True):
        assert (row["mode"], row["best"]["n"]) == (mode, SEEDS)
        assert row["best"]["mean"] == pytest.approx(np.mean(best[mode]), rel=1e-12)
        assert row["best"]["std"] == pytest.approx(np.std(best[mode], ddof=1), rel=1e-12)
        assert row["best"]["half"] == pytest.approx(T_QUANTILE * np.std(best[mode], ddof=1) / np.sqrt(SEEDS))
        assert row["at_shares"]["1/2"]["mean"] == pytest.approx(np.mean(half[mode]), rel=1e-12)
    difference = np.array(best["cma-es"]) - np.array(best["random"])
    minus = document["modes"][1]["minus_reference"]
    assert document["modes"][0]["minus_reference"] is None
    assert minus["mean"] == pytest.approx(difference.mean(), rel=1e-12)
    half_width = T_QUANTILE * difference.std(ddof=1) / np.sqrt(SEEDS)
    assert (minus["low"], minus["high"]) == pytest.approx(
        (difference.mean() - half_width, difference.mean() + half_width)
    )


def test_the_ledger_adds_up_all_that_was_run(unbroken: Zygote) -> None:
    document = shown(unbroken)
    ended = [e for run in RUNS for e in events(unbroken, run) if e["event"] in ("trial_finished", "repeat_finished")]
    assert document["done"] is True
    assert document["ledger"]["trials"] == len(RUNS) * TRIALS
    assert document["ledger"]["train_seconds"] == pytest.approx(sum(e["outcome"]["train_seconds"] for e in ended))
    assert document["ledger"]["wall_seconds"] == pytest.approx(sum(e["outcome"]["total_seconds"] for e in ended))
    for row in document["modes"]:
        for run in row["runs"]:
            started = [e["proposal"] for e in events(unbroken, run["run_id"]) if e["event"] == "trial_started"]
            assert run["n_unique"] == len({json.dumps(p["params"], sort_keys=True) for p in started[1:]})
            repeats = [e for e in events(unbroken, run["run_id"]) if e["event"] == "repeat_finished"]
            assert run["repeat_seconds"] == pytest.approx(sum(e["outcome"]["train_seconds"] for e in repeats))


def test_another_reference_turns_the_difference_round(unbroken: Zygote) -> None:
    first, other = shown(unbroken)["modes"], shown(unbroken, "--minus", "cma-es")["modes"]
    assert other[0]["minus_reference"]["mean"] == pytest.approx(-first[1]["minus_reference"]["mean"])
    assert "the comparison has the modes random, cma-es" in error_of(unbroken, "compare", "c", "--minus", "tpe")


def test_the_tables_are_plain_and_say_what_numbers_are(unbroken: Zygote) -> None:
    assert unbroken.agent("compare") == 0  # the last one
    output = unbroken.said
    assert "\x1b" not in output
    assert f"comparison c: {len(RUNS)} runs ({len(RUNS)} done), {len(RUNS) * TRIALS} trials" in output
    assert "loss is self-reported" in output
    assert "minus random, by seed" in output
    assert "baseline: loss 1.93" in output


def test_asked_again_it_runs_nothing_and_says_so(finished: Zygote) -> None:
    before = {run: contents_of(finished.runs, run) for run in RUNS}
    assert "nothing is left to run" in error_of(finished, *BEGIN, code=3)
    assert "minus random, by seed" in finished.said
    assert {run: contents_of(finished.runs, run) for run in RUNS} == before


def test_a_budget_can_be_raised_for_all(finished: Zygote) -> None:
    assert finished.agent("compare", "--resume", "c", "--trials", str(TRIALS + 1)) == 0, finished.said
    assert sorted(order(finished.said)) == sorted((TRIALS, run) for run in RUNS)
    assert shown(finished)["budget_of_each_run"]["trials"] == TRIALS + 1
    assert "not lower it: --trials 4 → 3" in error_of(finished, "compare", "--resume", "c", "--trials", "3")


def test_other_settings_under_the_same_name_are_refused_by_name(finished: Zygote) -> None:
    before = {run: contents_of(finished.runs, run) for run in RUNS}
    for options, difference in (
        (["--trials", "5"], "--trials 3 → 5"),
        (["--trials", "3", "--no-derived"], "--derived True → False"),
        (["--trials", "3", "--seeds", "3"], "--seeds 2 → 3"),
        (["--trials", "3", "--budget", "1h"], "--budget none → 3600"),
    ):
        assert difference in error_of(finished, *ASKED, *options)
    assert {run: contents_of(finished.runs, run) for run in RUNS} == before


def test_a_run_that_was_deleted_is_missed(finished: Zygote) -> None:
    shutil.rmtree(finished.runs.run("c-cma-es-s1").root)
    assert "c-cma-es-s1 is missing" in error_of(finished, "compare", "--resume", "c", "--trials", "9")
    assert not finished.runs.run("c-cma-es-s1").run_json.exists()


def test_a_run_raised_on_its_own_is_named(finished: Zygote) -> None:
    assert finished.agent("resume", "c-random-s0", "--trials", "4") == 0, finished.said
    assert "c-random-s0 alone was raised to --trials 4" in error_of(finished, *BEGIN)


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["--modes", "random,annealing", "--trials", "3"], "there is no such mode"),
        (["--modes", "random,noise", "--trials", "3"], "searches nothing"),
        (["--modes", "random,tpe,random", "--trials", "3"], "random is listed twice"),
        (["--modes", "random", "--trials", "3", "--seeds", "0"], "'--seeds': it should be 1 or more, not '0' (see"),
        (
            ["--modes", "random,code-edit", "--trials", "3", "--llm-share", "0.5"],
            "--llm-share is for centaur, centaur:echo; each of the modes random, code-edit would ignore it",
        ),
        (["--modes", "random"], "give each run a budget"),
        (["--modes", "random", "--trials", "0"], "--trials: it should be 1 or more, not 0"),
        (["--modes", "random", "--trials", "3", "--name", "../x"], "--name '../x'"),
        (["--modes", "random", "--trials", "3", "--minus", "tpe"], "--minus tpe"),
        (["--modes", "random", "--trials", "3", "--resume", "c"], "give only one of"),
        (["--trials", "3"], "name the modes"),
        (["--resume", "c"], "there is no comparison"),
        ([], "there is no comparison"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    warm: Zygote, tmp_path: Path, argv: list[str], what: str
) -> None:
    process = Zygote(warm._process, tmp_path)
    task = ["--task", str(INSTANT)] if "--modes" in argv else []
    assert what in error_of(process, "compare", *task, *argv)
    assert not (tmp_path / "runs").exists()


def test_the_name_of_a_run_is_taken(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    run = ["run", "--task", str(INSTANT), "--mode", "random", "--trials", "1", "--name"]
    assert process.agent(*run, "c-cma-es-s1") == 0, process.said
    assert "the name c-cma-es-s1 is taken by a run" in error_of(process, *BEGIN)
    assert process.runs.comparison_ids() == []
    assert process.agent(*ASKED[:-1], "d", "--trials", "1") == 0, process.said
    assert "the name d is taken by a comparison" in error_of(process, *run, "d")


def test_what_cannot_begin_leaves_nothing_behind(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    asked = [*ASKED[:4], "random,fixed", *ASKED[5:], "--trials", "3", "--model", "gpt-9"]
    assert "no endpoint is known" in error_of(process, *asked)
    assert process.runs.comparison_ids() == process.runs.run_ids() == []
    assert process.agent(*BEGIN[:-1], "1") == 0, process.said  # the name is free


def test_a_baseline_without_a_loss_ends_all(warm: Zygote, tmp_path: Path) -> None:
    shutil.copytree(INSTANT, tmp_path / "task")
    script = tmp_path / "task" / "train.py"
    script.write_text(script.read_text().replace("print(", "raise SystemExit(7); print("))
    process = Zygote(warm._process, tmp_path)
    assert "the baseline has no loss" in error_of(process, *BEGIN[:2], str(tmp_path / "task"), *BEGIN[3:], code=1)
    assert sum(process.runs.run(run).journal.stat().st_size > 0 for run in RUNS) == 1


def test_a_comparison_is_no_run_and_the_remedy_is_given(finished: Zygote) -> None:
    assert "`agent compare --resume c` continues it" in error_of(finished, "resume", "c")
    assert "`agent compare c` shows it" in error_of(finished, "log", "c")


def test_ctrl_c_leaves_everything_in_order(finished: Zygote) -> None:
    command = [sys.executable, "-m", "agent", "compare", "--resume", "c", "--trials", "5000"]
    variables = {"PATH": os.environ["PATH"], "HOME": str(finished.folder), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=finished.folder, env=variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = [next(process.stdout) for _ in range(8)]  # it is in the middle of its trials
    process.send_signal(signal.SIGINT)
    output += process.stdout.readlines()
    assert process.wait() == 130
    assert output[-1] == "interrupted; continue with `agent compare --resume c`\n"
    assert shown(finished)["done"] is False
    assert all(finished.agent("log", "--verify", run) == 0 for run in RUNS), finished.said


@pytest.fixture
def replies(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "replies.jsonl"
    points = [{"WIDTH": 0.5 + n / 10, "SHIFT": 0.1, "DEPTH": 3, "ORDER": "backward"} for n in range(9)]
    path.write_text("".join(json.dumps({"reply": json.dumps(point)}) + "\n" for point in points))
    return path


@pytest.mark.slow
def test_modes_with_a_model_stand_beside_their_control(warm: Zygote, replies: Path, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    asked = [*ASKED[:4], "centaur:echo,centaur,fixed", "--seeds", "1", "--name", "c", "--trials", "3"]
    assert process.agent(*asked, "--model", f"replay:{replies.name}", "--llm-warmup", "0", "--llm-share", "1") == 0, (
        process.said
    )
    echo, centaur, fixed = shown(process)["modes"]
    assert (echo["mode"], echo["runs"][0]["run_id"]) == ("centaur:echo", "c-centaur-echo-s0")
    assert echo["runs"][0]["n_copies"] == 2
    assert echo["runs"][0]["ledger"]["usage"] is None
    assert centaur["runs"][0]["ledger"]["usage"]["calls"] == fixed["runs"][0]["ledger"]["usage"]["calls"] == 2
    assert process.agent("report", "c", "--out", "page.html") == 0, process.said
    page = (tmp_path / "page.html").read_text()
    assert all(run in page for run in ("c-centaur-echo-s0", "c-centaur-s0", "c-fixed-s0"))
    assert "centaur:echo, 1 run" in page


def test_all_runs_share_one_model(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    points = [{"WIDTH": 0.5 + n / 10, "SHIFT": 0.1, "DEPTH": 3, "ORDER": "backward"} for n in range(9)]
    answers = [says(json.dumps({"word": "heron"})), *(says(json.dumps(point)) for point in points)]
    with fake_server(answers) as server:
        asked = [*ASKED[:4], "fixed", "--seeds", "3", "--name", "c", "--trials", "2", "--model", "fake-1"]
        assert process.agent(*asked, "--base-url", server.base_url, OPENAI_API_KEY="k") == 0, process.said
        n_questions = len(server.requests)
    assert n_questions == 1 + 3  # whether it keeps to a schema, once; then one proposal of each run


def killed(process: Zygote, deaths: list[Death]) -> int:
    """Let a comparison die again and again, and then end; return how often it was killed."""
    n_killed = 0
    for death in deaths:
        ended = process.agent(*BEGIN, death=death)
        assert ended in (0, 3, SIGKILL), process.said
        n_killed += ended == SIGKILL
        begun = [run for run in RUNS if process.runs.run(run).journal.exists()]
        counts = [sum(e["event"] == "trial_finished" for e in events_so_far(process, run)) for run in begun]
        assert not counts or max(counts) - min(counts) <= 1  # it was in turns all the time
    assert process.agent(*BEGIN) in (0, 3), process.said
    return n_killed


def events_so_far(process: Zygote, run_id: str) -> list[dict[str, Any]]:
    """Return the events of a journal that may end in a torn line."""
    *lines, _ = process.runs.run(run_id).journal.read_text().split("\n")
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    "deaths",
    [
        [Death("before fsync runs/c/compare.json.tmp"), Death("after fsync runs/c-cma-es-sN/run.json.tmp", 2)],
        [Death("start sandbox", 9), Death("after fsync runs/c-random-sN/journal.jsonl", 4)],
    ],
    ids=["while it begins", "in the middle"],
)
def test_killed_and_asked_again_it_ends_as_if_nobody_had(
    unbroken: Zygote, warm: Zygote, tmp_path: Path, deaths: list[Death]
) -> None:
    process = Zygote(warm._process, tmp_path)
    assert killed(process, deaths) == len(deaths)
    for run in RUNS:
        assert contents_of(process.runs, run) == contents_of(unbroken.runs, run)


@pytest.mark.long
def test_killed_at_any_place_it_ends_as_if_nobody_had(unbroken: Zygote, warm: Zygote, tmp_path: Path) -> None:
    counted = Zygote(warm._process, tmp_path / "counted")
    counted.folder.mkdir()
    assert counted.agent(*BEGIN) == 0, counted.said
    chance = np.random.default_rng(0)
    places = [(place, int(chance.integers(1, n + 1))) for place, n in sorted(counted.places.items())]
    for n, (place, nth) in enumerate(places):
        process = Zygote(warm._process, tmp_path / f"killed-{n}")
        process.folder.mkdir()
        killed(process, [Death(place, nth)])
        for run in RUNS:
            assert contents_of(process.runs, run) == contents_of(unbroken.runs, run), place
