"""Runs that earlier versions have made are read, resumed where that is possible, and else refused by name."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from agent.execution.environment import NAMES
from tests.kill_anywhere.killed_runs import Zygote

MADE = Path(__file__).parent / "fixtures" / "runs-2026-11-22"
FINISHED = ("slow", "paper", "tpe4")
SINCE = (
    *("published", "pool", "why_only_repeated", "slices", "spent", "turns"),
    *("messages", "refused_submissions", "script", "script_is_cut", "log", "version", "metric"),
)
"""Keys of documents that earlier versions did not print."""
ACCEPTED = [part for name in NAMES for part in ("--accept-changed", name)]  # this may be another machine


@pytest.fixture
def old(warm: Zygote, tmp_path: Path) -> Zygote:
    """A copy of the old runs, which a test may change, and of their tasks, in a folder that is HOME too."""
    place = warm.within(tmp_path / "old")
    with tarfile.open(MADE / "runs.tar.xz") as tar:
        tar.extractall(place.folder, filter="tar")
    tasks = shutil.copytree(MADE / "tasks", place.folder / "tasks")
    for path in place.folder.glob("runs/*/run.json"):
        document = json.loads(path.read_text())
        document["config"]["task_folder"] = str(tasks / Path(document["config"]["task_folder"]).name)
        path.write_text(json.dumps(document))
    return place


def json_of(place: Zygote, *argv: str) -> Any:
    assert place.agent(*argv, "--json") == 0, place.said
    return json.loads(place.said[place.said.index("{\n") :])


@pytest.mark.parametrize("run", FINISHED)
def test_a_finished_run_prints_what_it_printed_then(old: Zygote, run: str) -> None:
    expected = MADE / "expected" / run
    shown = json.loads((expected / "show.json").read_text())
    for name, argv in ("log", ["log", run]), ("best", ["best", run]), ("show", ["show", f"{run}/{shown['number']}"]):
        then, now = json.loads((expected / f"{name}.json").read_text()), json_of(old, *argv)
        written = [one for one in (*now.get("trials", []), now) if one.pop("reintroduced", None) is not None]
        assert {one["origin"] for one in written} <= {"llm"}  # no version until 2026-11-30 counted lines
        assert {key: value for key, value in now.items() if key not in SINCE} == as_now(then)
        assert {now[key] for key in ("published", "pool") if key in now} <= {None}
    assert old.agent("log", run, COLUMNS="120") == 0, old.said
    assert "; gains are repeated, not confirmed\n" in old.said
    then = without_machine(words_now((expected / "log.txt").read_text()))
    output = re.sub(r"^re-introduced: .*\n", "", old.said, flags=re.MULTILINE)
    now = without_machine(output.replace("; gains are repeated, not confirmed", ""))
    assert as_cut_then(without_times(now), then) == then


NO_SLOT = {"lost": [], **dict.fromkeys(("slot", "device", "slot_seconds", "queued_seconds", "elapsed_seconds"))}
"""What this version adds to each trial and repeat of an earlier one, which recorded no slots."""


NOBODY_STEERED = {
    **{"waits_for_approval": False, "notes": None, "n_messages": 0},
    **dict.fromkeys(("approval", "submission", "agent", "turn", "offer")),
}
"""What this version adds to each trial about people, their agents and the turns of hybrid modes."""


def as_now(then: dict[str, Any]) -> dict[str, Any]:
    """Return a document with what was called confirmed, on the standing split, as repeated: all but the baseline."""
    for one in [then, *then.get("trials", []), *(repeat["verdict"] or {} for repeat in then.get("repeats", []))]:
        if one.get("standing") == "confirmed" and one.get("number") != 0:
            one["standing"] = "repeated"
    for repeat in then.get("repeats", []):
        repeat |= {"slices": [], "flags": [], "compute": None, **NO_SLOT}
    for one in (*then.get("trials", []), *then.get("repeats", []), *([then] if "score" in then else [])):
        one["value"] = one["loss"]
    for repeat in then.get("repeats", []):
        del repeat["loss"]  # only trials have the value under the metric's name too
    for one in then.get("trials", []) or ([then] if "score" in then else []):
        one |= {"compute": None, "n_seen": None, "metric_edit": False, **NO_SLOT, **NOBODY_STEERED}
    return then


REWORDED = (
    ("confirmed      ", "repeated       "),  # without slices a gain is only repeated
    ("confirmed", "repeated"),
    ("to learn the noise", "to measure the noise"),
    ("to learn what speed is worth", "to measure the effect of speed"),
    (", to compare with", ", for comparison"),
    (r"in the run that it was kept for; (\S+) to (trial \d+) over (\d+ runs), ([\d.]+):",
     r"in its first run; \1 from \2 at \4 (\3):"),
    ("a guess of the noise", "a guess at the noise"),
    ("as far as it is known by now", "measured so far"),
    ("repeats cannot tell, for another seed gives", "repeats cannot measure it, because every seed gives"),
    ("the scripts printed it, and nothing has checked it", "scripts printed it, and nothing checked it"),
    (r"of training as charged, (\S+ \w+) by the clock", r"of training budget, \1 wall time"),
)  # fmt: skip
"""Patterns of what the version of that day printed, each with this version's words."""


def words_now(then: str) -> str:
    """Return a log of that day in the words of this version."""
    for pattern, now in REWORDED:
        then = re.sub(pattern, now, then)
    return then


def without_times(now: str) -> str:
    """Leave out the column with times of day, which logs of that day had not."""
    return re.sub(r"^( *\d+|trial)  (ended|\d\d:\d\d|     )(?=  )", r"\1", now, flags=re.MULTILINE)


def as_cut_then(now: str, then: str) -> str:
    """Cut the titles that were cut on that day, also off a terminal."""
    pairs = zip(now.splitlines(), then.splitlines(), strict=True)
    return "".join(f"{line[: len(cut) - 1] + '…' if cut.endswith('…') else line}\n" for line, cut in pairs)


def without_machine(output: str) -> str:
    """Leave out the line that counts what the machine did: it counted corrected losses, too."""
    return re.sub(r"^machine: .*\n", "", output, flags=re.MULTILINE)


@pytest.mark.parametrize("run", [*FINISHED, "cut", "cut-short"])
def test_journal_git_and_files_agree(old: Zygote, run: str) -> None:
    assert old.agent("log", "--verify", run) == 0, old.said
    assert "agree" in old.said


@pytest.mark.parametrize("run", FINISHED)
def test_a_finished_run_is_reported_and_exported(old: Zygote, run: str) -> None:
    assert old.agent("report", run) == 0, old.said
    expected = json.loads((MADE / "expected" / run / "log.json").read_text())
    assert f"{expected['champion_loss']:.6f}" in (old.folder / f"{run}.html").read_text()
    assert old.agent("export", run) == 0, old.said


@pytest.mark.parametrize("trial", ["slow/3", "paper/4", "tpe4/1"])
def test_a_kept_trial_is_replayed(old: Zygote, trial: str) -> None:
    assert old.agent("replay", trial) == 0, old.said
    assert "difference:   none, to all digits" in old.said


def test_a_replay_is_compared_with_the_loss_as_scored(old: Zygote) -> None:
    assert old.agent("replay", "slow/3") == 0, old.said
    assert re.search(r"recorded: +loss 1.68067359028 .*as scored, before it was corrected", old.said)
    assert re.search(r"replayed: +loss 1.68067359028", old.said)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "trials", "best"), [("cut", 6, 2), ("cut-short", 3, 0)])
def test_an_interrupted_run_is_resumed(old: Zygote, run: str, trials: int, best: int) -> None:
    assert old.agent("resume", run, *ACCEPTED) == 0, old.said
    assert f"all {trials} trials are done" in old.said
    assert len(json_of(old, "log", run)["trials"]) == trials
    assert json_of(old, "best", run)["number"] == best
    assert old.agent("log", "--verify", run) == 0, old.said


def test_a_resume_names_the_keys_that_have_no_effect_any_more_once(old: Zygote) -> None:
    assert old.agent("resume", "cut", *ACCEPTED) == 0, old.said
    for key in "slope", "ignore":
        assert old.said.count(f"[machine] {key} has no effect any more and is ignored") == 1


def test_a_run_with_corrected_losses_goes_on_with_losses_as_they_are_scored(old: Zygote) -> None:
    path = old.folder / "runs" / "slow" / "run.json"
    document = json.loads(path.read_text())
    document["config"]["model"] = f"replay:{old.folder}/edits.jsonl"
    path.write_text(json.dumps(document))
    edit = "TITLE: less\n<<<<<<< SEARCH\nSHIFT = 0.29\n=======\nSHIFT = 0.1\n>>>>>>> REPLACE\n"
    (old.folder / "edits.jsonl").write_text((json.dumps({"reply": edit}) + "\n") * 4)
    assert old.agent("resume", "slow", "--trials", "5", *ACCEPTED) == 0, old.said
    assert old.said.count("2 losses of this run got a correction for the machine's speed; new ones") == 1
    trial = json_of(old, "show", "slow/4")
    assert trial["val_loss"] == trial["score"]["val_loss"]
    assert old.agent("log", "--verify", "slow") == 0, old.said


@pytest.mark.parametrize("argv", [["show"], ["diff"], ["replay"], ["log"], ["export"], ["run", "--from"]])
def test_the_minimal_script_is_no_trial_any_more(old: Zygote, argv: list[str]) -> None:
    assert old.agent(*argv, "slow/minimal") == 2, old.said
    assert old.said.count("\n") == 1
    assert "slow/minimal is not a trial any more" in old.said
    assert "agent export slow --minimal --to REPO --branch NAME" in old.said


def test_the_commit_of_a_minimal_script_is_named(old: Zygote) -> None:
    commit = json.loads((MADE / "expected" / "slow" / "minimal.json").read_text())["commit"]
    assert old.agent("replay", commit) == 2, old.said
    assert "is not a trial but the minimal script of slow/3" in old.said
    assert old.agent("log", "slow", "--graph") == 0, old.said
    assert "minimal" not in old.said


@pytest.mark.slow
def test_an_old_attribution_is_written_and_exported_without_running_anything(old: Zygote, tmp_path: Path) -> None:
    expected = json.loads((MADE / "expected" / "slow" / "minimal.json").read_text())
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(MADE / "tasks" / "slow" / "train.py", own)
    who = {f"GIT_{role}_{what}": "u" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "mine"]):
        subprocess.run(["git", *command], cwd=own, check=True, env={"PATH": os.environ["PATH"], **who})
    assert old.agent("export", "slow", "--minimal", "--to", str(own), "--branch", "tonight") == 0, old.said
    assert "1 commit" in old.said
    document = json_of(old, "attribute", "slow", "--seeds", "2", *ACCEPTED)
    names = [name for name in expected if name != "commit"]
    is_alike = all(document[name] == expected[name] for name in ("runs", "sigma"))
    if is_alike:  # this is the machine, or one like it, on which it was made
        assert {name: document[name] for name in names} == {name: expected[name] for name in names}
    assert Path(document["patch"]).read_text() == (MADE / "expected" / "slow" / "minimal.patch").read_text()
    branch = subprocess.run(["git", "show", "tonight:train.py"], cwd=own, capture_output=True, text=True, check=True)
    assert branch.stdout == Path(document["minimal"]).read_text()


def test_the_control_of_an_earlier_version_is_read_verified_and_resumed(old: Zygote) -> None:
    """It was mode centaur with the model echo, in run.json and in commits; the words of commits are the same now."""
    task = str(Path(__file__).parent / "tasks" / "instant")
    search = ["run", "--task", task, "--mode", "centaur:echo", "--llm-every", "2", "--llm-warmup", "1"]
    assert old.agent(*search, "--name", "control", "--trials", "3") == 0, old.said
    path = old.runs.run("control").run_json
    document = json.loads(path.read_text())
    assert (document["config"]["mode"], document["config"]["model"]) == ("centaur:echo", None)
    document["config"] |= {"mode": "centaur", "model": "echo"}
    path.write_text(json.dumps(document))
    assert json_of(old, "log", "control")["mode"] == "centaur:echo"
    assert old.agent("resume", "control", "--trials", "5") == 0, old.said
    assert [trial["origin"] for trial in json_of(old, "log", "control")["trials"]][2::2] == ["echo", "echo"]
    assert old.agent("log", "control", "--verify") == 0, old.said
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(old.runs.repo), "log", "-1", "--format=%B"]
    output = subprocess.run([*command, "control/0004"], capture_output=True, text=True, check=True).stdout
    assert "\nMode: centaur\n" in output
    assert "\nModel: echo\n" in output
