"""`agent attribute` as users call it: real runs, real sandboxes, real commits, and kills at any moment."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.ablation_log import hash_of
from agent.trials.keeping.keep_rule import HELD_OUT_SEED
from tests.kill_anywhere.killed_runs import INSTANT, NEVER, Death, Zygote, contents_of
from tests.test_kill_anywhere import deaths

FROZEN = 'script = "train.py"\nfrozen = ["canary.py"]\n'
SIGKILL, SIGXFSZ = -9, -25
QUICK_KILLS, LONG_KILLS = 6, 120
ASK = ("attribute", "r", "--seeds", "2")
Json = dict[str, Any]


def reply(old: str, new: str) -> str:
    return json.dumps({"reply": f"TITLE: {new}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"}) + "\n"


# The loss is (WIDTH - 0.7)^2 + SHIFT^2 + 0.1 |DEPTH - 3| + 0.05, and the noise of a run is thought to be 0.019.
EDITS = [
    reply("SHIFT = 0.3", "SHIFT = 0.29  # a little less"),  # worth 0.0059
    reply("DEPTH = 4", "DEPTH = 3"),  # worth 0.1
    reply("WIDTH = 2.0", "WIDTH = 1.2"),  # worth 1.44: now a fresh run repeats all three
]


@pytest.fixture(scope="module")
def night(warm: Zygote) -> Zygote:
    """A run `r` of three edits on top of each other, all repeated."""
    place = warm.within(warm.folder / "attribute")
    begin(place, INSTANT)
    return place


def begin(place: Zygote, task: Path) -> None:
    """Run `r`: three edits on top of each other, all repeated."""
    (place.folder / "replies.jsonl").write_text("".join(EDITS))
    options = ["--task", str(task), "--mode", "code-edit", "--model", f"replay:{place.folder}/replies.jsonl"]
    assert place.agent("run", "--name", "r", "--trials", "4", "--no-smoke", *options) == 0, place.said
    assert "repeated: trial 3" in place.said


@pytest.fixture
def paired(warm: Zygote, tmp_path: Path) -> Zygote:
    """The same run on a task whose budget is counted in steps: the same seed gives the same loss."""
    task = tmp_path / "task"
    shutil.copytree(INSTANT, task)
    in_seconds, in_steps = 'unit = "seconds"', 'unit = "steps"\nnominal_seconds = 1.0\ncounted_by = "script"'
    (task / "task.toml").write_text((task / "task.toml").read_text().replace(in_seconds, in_steps))
    place = warm.within(tmp_path / "paired")
    begin(place, task)
    return place


@pytest.fixture
def again(night: Zygote, tmp_path: Path) -> Zygote:
    """A copy of that run that a test may change."""
    return copy_of(night, tmp_path / "again")


@pytest.fixture(scope="module")
def asked(night: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Zygote:
    """A copy of that run whose changes are attributed."""
    place = copy_of(night, tmp_path_factory.mktemp("asked") / "place")
    assert place.agent(*ASK) == 0, place.said
    return place


def copy_of(place: Zygote, folder: Path) -> Zygote:
    copied = place.within(folder)
    shutil.copytree(place.folder / "runs", folder / "runs", symlinks=True)
    return copied


def json_of(place: Zygote, *argv: str) -> Json:
    """Return the document that a command prints; progress before it is for people."""
    assert place.agent(*argv, "--json") == 0, place.said
    document: Json = json.loads(place.said[place.said.index("{\n") :])
    return document


def refused(place: Zygote, code: int, *argv: str) -> str:
    """Return the one line that a command says instead of doing anything."""
    assert place.agent(*argv) == code, place.said
    lines = place.said.strip().splitlines()
    assert len(lines) == 1, place.said
    return lines[0]


def test_what_carries_is_listed_and_what_does_not_is_left_out(asked: Zygote) -> None:
    document = json_of(asked, *ASK)
    assert {change["change"]: change["verdict"] for change in document["changes"]} == {
        "1": "no effect found", "2": "carries", "3": "carries",
    }  # fmt: skip
    effects = {change["change"]: change["effect"] for change in document["changes"]}
    assert effects == pytest.approx({"1": 0.0059, "2": 0.1, "3": 1.44})
    assert document["without"] == ["1"]
    assert document["changed_lines"] == {"whole": 6, "minimal": 4}
    assert document["difference"] == pytest.approx(0.0059)
    assert document["held_out"]["minimal"]["runs"] == 2
    assert document["stopped"] == ""


def test_the_minimal_script_and_its_patch_are_written_and_named(asked: Zygote, tmp_path: Path) -> None:
    paths = asked.runs.run("r").attribution(3)
    assert asked.agent(*ASK) == 0, asked.said
    assert f"the minimal script: {paths.minimal}, with minimal.patch beside it" in asked.said
    baseline = (INSTANT / "train.py").read_text()
    assert paths.minimal.read_text() == baseline.replace("2.0", "1.2", 1).replace("DEPTH = 4", "DEPTH = 3")
    shutil.copy(INSTANT / "train.py", tmp_path)
    subprocess.run(["git", "apply", str(paths.patch)], cwd=tmp_path, check=True)
    assert (tmp_path / "train.py").read_text() == paths.minimal.read_text()


def test_the_report_tells_which_changes_carry(asked: Zygote) -> None:
    assert asked.agent("report", "r") == 0, asked.said
    page = (asked.folder / "r.html").read_text()
    assert "Which changes carry the gain" in page
    assert "no effect found" in page
    assert "agent export r --minimal --to REPO --branch NAME" in page


def test_what_is_no_smaller_any_more_is_removed(again: Zygote) -> None:
    paths = again.runs.run("r").attribution(3)
    assert again.agent(*ASK) == 0, again.said
    assert paths.minimal.exists()
    lines = [json.loads(line) for line in paths.readings.read_text().splitlines()]
    for line in lines:
        if line.get("script") == hash_of(paths.minimal.read_text()) and line["seed"] >= HELD_OUT_SEED:
            line["outcome"]["val_loss"] += 9.0
    paths.readings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert again.agent(*ASK) == 0, again.said
    assert "no smaller script is offered" in again.said
    assert not paths.minimal.exists()
    assert not paths.patch.exists()
    line = refused(again, 2, "export", "r", "--minimal", "--to", str(again.folder), "--branch", "b")
    assert "r has no minimal script that is smaller and as good" in line


def test_the_run_itself_is_not_touched(night: Zygote, asked: Zygote) -> None:
    assert contents_of(asked.runs, "r") == contents_of(night.runs, "r")
    assert asked.agent("log", "--verify", "r") == 0, asked.said


def test_asked_again_it_runs_nothing_and_says_the_same(asked: Zygote) -> None:
    readings = asked.runs.run("r").attribution(3).readings
    before, document = readings.read_bytes(), json_of(asked, *ASK)
    assert "training seed" not in asked.said
    assert document == json_of(asked, *ASK)
    assert readings.read_bytes() == before


def test_it_becomes_one_commit_of_the_user_s_own_repository(asked: Zygote, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(INSTANT / "train.py", own)
    who = {f"GIT_{role}_{what}": "u" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "mine"]):
        subprocess.run(["git", *command], cwd=own, check=True, env={"PATH": os.environ["PATH"], **who})
    assert asked.agent("export", "r", "--minimal", "--to", str(own), "--branch", "tonight") == 0, asked.said
    listed = subprocess.run(
        ["git", "log", "--format=%s", "tonight"], cwd=own, capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines() == ["minimal: 2 of the 3 changes of trial 3", "mine"]
    source = subprocess.run(["git", "show", "tonight:train.py"], cwd=own, capture_output=True, text=True, check=True)
    assert source.stdout == asked.runs.run("r").attribution(3).minimal.read_text()
    message = subprocess.run(
        ["git", "log", "-1", "--format=%an <%ae>%n%B", "tonight"], cwd=own, capture_output=True, text=True, check=True
    )
    assert message.stdout.startswith("autocentaur <autocentaur@localhost>\n")
    assert "\nSeed: 100\n" in message.stdout
    assert "\nWithout: 1\n" in message.stdout


def test_a_budget_ends_it_in_order_and_more_of_it_goes_on(again: Zygote, asked: Zygote) -> None:
    first = json_of(again, *ASK, "--trials", "8")
    assert first["runs"] <= 8
    assert first["stopped"].startswith("the budget of 8 runs is spent")
    assert [change["verdict"] for change in first["changes"]] == ["no effect found", "not tested", "not tested"]
    assert first["without"] == ["1"]
    assert first["minimal"] is not None  # what was taken out is compared and offered all the same
    assert again.agent(*ASK, "--trials", "8") == 3
    assert "error: the budget of 8 runs is spent" in again.said
    whole = json_of(again, *ASK)
    at = {"minimal", "patch", "train_seconds"}
    assert {k: v for k, v in whole.items() if k not in at} == {
        k: v for k, v in json_of(asked, *ASK).items() if k not in at
    }


def test_training_seconds_are_a_budget_too(again: Zygote) -> None:
    document = json_of(again, *ASK, "--budget", "8s")  # one second a run, as charged
    assert document["train_seconds"] <= 8
    assert "the training budget of 8 s is spent" in document["stopped"]


def test_parameters_are_taken_out_name_by_name(warm: Zygote, tmp_path: Path) -> None:
    place = warm.within(tmp_path / "random")
    options = ["--task", str(INSTANT), "--mode", "random", "--trials", "8", "--keep", "any", "--name", "p"]
    assert place.agent("run", *options) == 0, place.said
    document = json_of(place, "attribute", "p", "--seeds", "1")
    assert {change["change"] for change in document["changes"]} <= {"WIDTH", "SHIFT", "DEPTH", "ORDER"}
    assert {change["verdict"] for change in document["changes"]} >= {"carries"}


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        (["attribute", "nobody"], 2, "there is no run 'nobody'"),
        (["attribute", "r", "--budget", "0"], 2, "is not a duration"),
        (["attribute", "r", "--trials", "0"], 2, "--trials"),
        (["attribute", "r", "--seeds", "0"], 2, "--seeds"),
        (["show", "r/minimal"], 2, "is not a trial any more: `agent attribute r` writes minimal.py"),
        (["export", "r", "--minimal"], 2, "--minimal need --to REPO"),
        (["export", "r", "--minimal", "--to", ".", "--branch", "b"], 2, "has no attribution yet; `agent attribute r`"),
    ],
)
def test_what_cannot_be_is_one_line(again: Zygote, argv: list[str], code: int, expected: str) -> None:
    assert expected in refused(again, code, *argv)


def test_a_run_that_gained_nothing_has_nothing_to_attribute(warm: Zygote, tmp_path: Path) -> None:
    place = warm.within(tmp_path / "none")
    options = ["--task", str(INSTANT), "--mode", "random", "--name", "n"]
    assert place.agent("run", "--trials", "1", *options) == 0, place.said
    assert "its baseline: no trial was kept" in refused(place, 2, "attribute", "n")


def test_a_run_that_somebody_has_open_is_left_alone(again: Zygote, hold: Callable[[Path], None]) -> None:
    hold(again.runs.run("r").lock)
    assert "is using r" in refused(again, 2, "attribute", "r")


@pytest.fixture
def hold() -> Callable[[Path], None]:
    """Return a function that locks a file as a process that works on a run does, until the test ends."""
    from filelock import FileLock

    held = []

    def lock(path: Path) -> None:
        held.append(FileLock(path))
        held[-1].acquire(timeout=0)

    return lock


def test_a_task_that_has_changed_is_refused(again: Zygote, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(INSTANT, folder)
    (folder / "train.py").write_text((folder / "train.py").read_text().replace("DEPTH = 4", "DEPTH = 5"))
    line = refused(again, 2, "attribute", "r", "--task", str(folder))
    assert "has changed since r began" in line
    assert "changed: train.py" in line


def test_where_seeds_are_paired_the_run_s_own_repeats_count(paired: Zygote) -> None:
    assert paired.agent("attribute", "r", "--seeds", "1") == 0, paired.said
    assert "trial 3, training seed 1\n" not in paired.said
    assert "without 1, training seed 1\n" in paired.said


def test_other_conditions_are_refused_and_where_accepted_nothing_old_is_compared(paired: Zygote) -> None:
    journal = paired.runs.run("r").journal
    text = journal.read_text()
    version = json.loads(text.splitlines()[1])["outcome"]["conditions"]["python"]
    journal.write_text(text.replace(f'"python":"{version}"', '"python":"2.7.18"'))
    assert "--accept-changed python" in refused(paired, 2, "attribute", "r")
    assert paired.agent("attribute", "r", "--seeds", "1", "--accept-changed", "python") == 0, paired.said
    assert "trial 3, training seed 1" in paired.said  # the run had read it, but under another Python


@pytest.mark.slow
def test_a_machine_that_has_slowed_down_is_waited_for_and_no_loss_of_it_counts(warm: Zygote, tmp_path: Path) -> None:
    task, speed = tmp_path / "task", tmp_path / "machine" / "speed"
    shutil.copytree(INSTANT, task)
    speed.parent.mkdir()
    speed.write_text("speed: 1000\n")
    (task / "canary.py").write_text("print(open('/machine/speed').read())\n")
    described = (task / "task.toml").read_text()
    canary = 'canary = ["python", "canary.py"]\npause_seconds = 0.01\npatience_seconds = 0.02'
    described = described.replace('canary = "off"', canary).replace('script = "train.py"\n', FROZEN)
    mounted = f'[environment]\nmounts = [{{ source = "{speed.parent}", target = "/machine" }}]\n\n[machine]\n'
    (task / "task.toml").write_text(described.replace("[machine]\n", mounted))
    place = warm.within(tmp_path / "place")
    begin(place, task)
    speed.write_text("speed: 900\n")
    assert place.agent(*ASK) == 1, place.said
    assert "this attempt does not count: the machine" in place.said
    readings = place.runs.run("r").attribution(3).readings
    assert "script_ran" not in readings.read_text()
    speed.write_text("speed: 1000\n")
    assert place.agent(*ASK) == 0, place.said
    ran = [json.loads(line) for line in readings.read_text().splitlines()]
    ratios = {line["outcome"]["machine"]["ratio"] for line in ran if line["event"] == "script_ran"}
    assert ratios == {1.0}


def kill_anywhere(night: Zygote, folder: Path, n_kills: int, seed: int) -> int:
    """Kill attributions of copies of a run `n_kills` times; compare each that ends with one that nobody killed."""
    chance, n_died, n_copies = random.Random(f"attribute {seed}"), 0, 0
    unbroken = copy_of(night, folder / "unbroken")
    assert unbroken.agent(*ASK) == 0, unbroken.said
    places, wanted = unbroken.places, what_is_left(unbroken)
    drawn = deaths(places, chance, 4 * n_kills)
    now = copy_of(night, folder / "killed-0")
    for death in drawn:
        if n_died == n_kills:
            break
        ended = now.agent(*ASK, death=death or torn(now, chance))
        if ended in (SIGKILL, SIGXFSZ):
            n_died += 1
        elif death is not None or ended == 0:  # else it met the end of its disk where it could still say so
            assert ended == 0, now.said
            assert what_is_left(now) == wanted
            n_copies += 1
            now = copy_of(night, folder / f"killed-{n_copies}")
    assert now.agent(*ASK, death=NEVER) == 0, now.said
    assert what_is_left(now) == wanted
    assert now.agent("log", "--verify", "r") == 0, now.said
    return n_died


def torn(place: Zygote, chance: random.Random) -> Death:
    """Return a death within the next bytes of the file of readings, which is the longest that is written."""
    readings = place.runs.run("r").attribution(3).readings
    n_bytes = readings.stat().st_size if readings.exists() else 0
    return Death(file_bytes=n_bytes + chance.randrange(1, 400), whole_group=True)


def what_is_left(place: Zygote) -> Json:
    """Return all that an attribution leaves behind, without what was measured."""
    paths = place.runs.run("r").attribution(3)
    lines = [json.loads(line) for line in paths.readings.read_text().splitlines()]
    document = json_of(place, *ASK)
    return {
        "run": contents_of(place.runs, "r"),
        "ran": [(line.get("script"), line.get("seed"), line.get("outcome", {}).get("val_loss")) for line in lines],
        "minimal": (paths.minimal.read_text(), paths.patch.read_text()),
        "told": {key: value for key, value in document.items() if key not in ("minimal", "patch")},
    }


@pytest.mark.slow
def test_a_killed_attribution_ends_as_the_unbroken_one(night: Zygote, tmp_path: Path) -> None:
    assert kill_anywhere(night, tmp_path, QUICK_KILLS, seed=0) == QUICK_KILLS


@pytest.mark.long
def test_an_attribution_killed_a_hundred_times_ends_as_the_unbroken_one(night: Zygote, tmp_path: Path) -> None:
    assert kill_anywhere(night, tmp_path, LONG_KILLS, seed=1) == LONG_KILLS
