"""`agent replay` as users call it: real commits, real sandboxes, real clones."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.store.journal import read_history
from tests import commands
from tests.docker_engine import skip_without_docker

BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = str(tmp_path_factory.mktemp("home"))
    return {"PATH": os.environ["PATH"], "HOME": home, "AUTOCENTAUR_CACHE": str(cache), "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def agent(environment: dict[str, str]) -> Agent:
    """Return a function that runs `agent ARGS` in a folder."""

    def run(folder: Path, *args: str, **extra: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=folder, env={**environment, **extra})

    return run


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task in tests/tasks/bigram_plain with fewer rounds of audit, which are tested elsewhere."""
    folder = tmp_path_factory.mktemp("task") / "bigram"
    shutil.copytree(BIGRAM, folder)
    described = (folder / "task.toml").read_text().replace("rounds = 2", "rounds = 1")
    (folder / "task.toml").write_text(described)
    return folder


@pytest.fixture(scope="module")
def night(agent: Agent, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run `r` of six trials, of which some were kept."""
    folder = tmp_path_factory.mktemp("night")
    done = agent(
        folder, "run", "--task", str(BIGRAM), "--name", "r", "--mode", "random", "--trials", "6", "--seed", "3"
    )
    assert done.returncode == 0, done.stderr
    return folder


def trials(agent: Agent, folder: Path) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads(agent(folder, "log", "--json").stdout)["trials"]
    return listed


def one_line_error(done: CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def state(folder: Path) -> dict[str, str]:
    """Return the hash of every file below `folder` that lies in no folder `replays`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "replays" not in path.relative_to(folder).parts
    }


def test_a_trial_gives_the_same_loss_to_all_digits_and_touches_nothing_else(agent: Agent, night: Path) -> None:
    before = state(night)
    done = agent(night, "replay", "r/4")
    assert done.returncode == 0, done.stderr
    assert "verdict:      reproduced exactly" in done.stdout
    assert f"val_bpb {trials(agent, night)[4]['val_loss']!r}" in done.stdout
    assert "nothing: sandbox, data, python" in done.stdout
    assert state(night) == before
    (folder,) = (night / "runs" / "r" / "replays").glob("0004-*")
    assert {path.name for path in folder.iterdir()} == {
        "files",
        "train.log",
        "train.stdout.log",
        "train.stderr.log",
        "score",
        "replay.json",
    }


def test_every_kept_trial_of_a_run_is_a_line(agent: Agent, night: Path) -> None:
    kept = [trial["number"] for trial in trials(agent, night) if trial["kept"]]
    assert len(kept) >= 2
    done = agent(night, "replay", "r", "--all-kept")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    lines, closing = rows[1 : len(kept) + 1], rows[len(kept) + 1 :]
    assert [int(row.split()[0]) for row in lines] == kept
    assert all(row.endswith("reproduced exactly") for row in lines)
    assert closing[0].startswith(f"{len(kept)} of {len(kept)} kept trials reproduced")


@pytest.mark.slow
def test_a_clone_alone_is_enough_on_another_machine(
    agent: Agent, night: Path, task: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    listed = trials(agent, night)
    subprocess.run(
        ["git", "clone", "--quiet", str(night / "runs" / "trials.git"), str(tmp_path / "clone")],
        check=True, env=environment, capture_output=True,
    )  # fmt: skip
    (night / "runs").rename(night / "elsewhere")
    try:
        own_cache = str(tmp_path / "cache")
        unprepared = agent(tmp_path / "clone", "replay", "r/1", AUTOCENTAUR_CACHE=own_cache)
        assert "give the task's folder with --task DIR" in one_line_error(unprepared, 4)
        inside = agent(
            tmp_path / "clone", "replay", str(listed[1]["commit"])[:10], "--task", str(task), "--json",
            AUTOCENTAUR_CACHE=own_cache,
        )  # fmt: skip
        assert inside.returncode == 0, inside.stderr
        document = json.loads(inside.stdout)
        assert document["replayed"]["val_loss"] == listed[1]["val_loss"]
        assert document["verdict"] == "reproduced exactly"
        assert document["differs"] == {}
        assert [path.name[:4] for path in (tmp_path / "clone" / "replays").iterdir()] == ["0001"]
        named = agent(tmp_path, "replay", "r", "--all-kept", "--repo", "clone", AUTOCENTAUR_CACHE=own_cache)
        assert named.returncode == 0, named.stderr
        assert "kept trials reproduced" in named.stdout
        lost = one_line_error(agent(tmp_path, "replay", "r/1"), 2)
        assert "not in a clone of a trials.git; name one of them with --runs or --repo" in lost
    finally:
        (night / "elsewhere").rename(night / "runs")


def test_other_data_are_refused_with_both_digests(agent: Agent, night: Path, tmp_path: Path, cache: Path) -> None:
    (prepared,) = (path for path in cache.glob("bigram-*/meta.json") if "-pool-" not in path.parent.name)
    other = tmp_path / "cache" / prepared.parent.name
    shutil.copytree(prepared.parent, other)
    meta = json.loads((other / "meta.json").read_text())
    changed = other / "val" / "val.bin"
    changed.write_bytes(changed.read_bytes()[::-1])
    meta["files"]["val"]["sha256"] = hashlib.sha256(changed.read_bytes()).hexdigest()
    (other / "meta.json").write_text(json.dumps(meta))
    error = one_line_error(agent(night, "replay", "r/1", AUTOCENTAUR_CACHE=str(tmp_path / "cache")), 4)
    assert "are not those of r/1" in error
    assert "so the losses cannot be compared" in error


def test_another_seed_is_judged_against_the_noise(agent: Agent, night: Path) -> None:
    done = agent(night, "replay", "r/0", "--seed", "77", "--json")
    document = json.loads(done.stdout)
    assert document["differs"] == {"training seed": {"recorded": "0", "here": "77"}}
    assert document["difference"] != 0
    assert document["reproduced"] == (abs(document["difference"]) <= document["allowed"])
    assert done.returncode == (0 if document["reproduced"] else 1)


def test_a_repeat_of_the_run_is_compared_with_itself(agent: Agent, night: Path) -> None:
    repeat = read_history(night / "runs" / "r" / "journal.jsonl").repeats[-1]
    done = agent(night, "replay", f"r/{repeat.trial}", "--seed", str(repeat.seed), "--json")
    document = json.loads(done.stdout)
    assert document["recorded"]["val_loss"] == repeat.val_loss
    assert document["verdict"] == "reproduced exactly"
    assert document["seed"] == repeat.seed >= 1


def test_a_loss_that_the_journal_invented_is_not_reproduced(agent: Agent, night: Path, tmp_path: Path) -> None:
    shutil.copytree(night / "runs", tmp_path / "runs", symlinks=True)
    journal = tmp_path / "runs" / "r" / "journal.jsonl"
    loss = repr(trials(agent, night)[2]["val_loss"])
    text = journal.read_text()
    assert loss in text
    journal.write_text(text.replace(loss, "1.25"))
    done = agent(tmp_path, "replay", "r/2")
    assert done.returncode == 1
    assert "recorded:     val_bpb 1.25\n" in done.stdout
    assert "verdict:      not reproduced" in done.stdout


def test_the_test_split_is_scored_on_request(agent: Agent, night: Path) -> None:
    before = state(night)
    document = json.loads(agent(night, "replay", "r/0", "--test", "--json").stdout)
    assert document["test_loss"] not in (None, document["replayed"]["val_loss"])
    assert state(night) == before


def test_a_crash_is_reproduced_by_a_crash(agent: Agent, tmp_path: Path) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text(
        '[task]\nname = "edge"\n[score]\nkind = "printed"\n[budget]\nunit = "steps"\namount = 1\nnominal_seconds = 1\n'
        'counted_by = "script"\n[limits]\nwall_seconds = 600\nmemory_gb = 0.25\n'
        '[space]\nX = { type = "categorical", choices = ["up", "down"] }\n'
    )
    (task / "train.py").write_text('X = "up"\nassert X == "up", "fell"\nprint("---\\nval_loss: 1.5")\n')
    agent(tmp_path, "run", "--task", str(task), "--mode", "random", "--trials", "6", "--name", "e")
    crashed = [trial for trial in trials(agent, tmp_path) if trial["status"] == "crashed"]
    done = agent(tmp_path, "replay", f"e/{crashed[0]['number']}")
    assert done.returncode == 0, done.stderr
    assert "recorded:     crashed: exit 1: AssertionError: fell" in done.stdout
    assert "verdict:      reproduced: it failed in the same way" in done.stdout
    never_ran = [trial for trial in trials(agent, tmp_path) if trial["status"] == "duplicate"]
    if never_ran:
        assert "never ran (duplicate)" in one_line_error(agent(tmp_path, "replay", f"e/{never_ran[0]['number']}"), 2)
    assert "has no test split" in one_line_error(agent(tmp_path, "replay", "e/0", "--test"), 2)


def test_an_interrupt_leaves_nothing_behind(agent: Agent, environment: dict[str, str], tmp_path: Path) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text(
        '[task]\nname = "slow"\n[score]\nkind = "printed"\n[budget]\namount = 1\n'
        '[limits]\nwall_seconds = 6000\nmemory_gb = 0.25\n[environment]\nvariables = ["PAUSE"]\n'
        '[machine]\ncanary = "off"\n'  # its loss has nothing to do with time
        '[space]\nX = { type = "int", low = 0, high = 9 }\n'
    )
    (task / "train.py").write_text(
        'import os, time\nX = 1\nprint("begun", flush=True)\ntime.sleep(float(os.environ["PAUSE"]))\n'
        'print("---\\nval_loss: 1.5")\n'
    )
    search = ("run", "--task", str(task), "--mode", "random", "--trials", "1", "--name", "s")
    assert agent(tmp_path, *search, PAUSE="0").returncode == 0
    before = state(tmp_path)
    assert any("trials" in name for name in before)
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "replay", "s/0"], cwd=tmp_path, env={**environment, "PAUSE": "5000"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    replays = tmp_path / "runs" / "s" / "replays"
    while not any("begun" in log.read_text() for log in replays.glob("*/train.log")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(600) == 130
    assert not replays.exists()
    assert state(tmp_path) == before


@pytest.mark.slow
@pytest.mark.docker
def test_a_container_is_made_from_the_recorded_image(agent: Agent, task: Path, tmp_path: Path) -> None:
    skip_without_docker()
    own = tmp_path / "task"
    shutil.copytree(task, own)
    with (own / "task.toml").open("a") as file:
        file.write(f'[environment]\npython = "{sys.executable}"\n')
    search = ("run", "--task", str(own), "--name", "d", "--mode", "random", "--trials", "1", "--sandbox", "docker")
    assert agent(tmp_path, *search).returncode == 0
    same = agent(tmp_path, "replay", "d/0")
    assert same.returncode == 0, same.stdout + same.stderr
    assert "nothing: sandbox, data" in same.stdout
    other = json.loads(agent(tmp_path, "replay", "d/0", "--sandbox", "bubblewrap", "--json").stdout)
    assert other["differs"]["sandbox"]["recorded"].startswith("docker ")
    assert other["differs"]["sandbox"]["here"].startswith("bubblewrap ")
    assert other["difference"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["r/99"], "r has no trial 99; it has 0 to 5"),
        (["nobody/1"], "there is no run 'nobody'"),
        (["0123456789abcdef"], "no commit '0123456789abcdef'"),
        (["-"], "no commit '-'"),
        ([], "name what to replay"),
        (["r/1", "--sandbox", "chroot"], "--sandbox chroot: there is no such sandbox; there are bubblewrap, docker"),
        (["r/1", "--repo", "nowhere"], "nowhere is not a git repository"),
        (["nobody", "--all-kept"], "there is no run 'nobody'"),
    ],
)
def test_a_wrong_request_is_one_line(agent: Agent, night: Path, arguments: list[str], says: str) -> None:
    assert says in one_line_error(agent(night, "replay", *arguments), 2)


def test_an_unreadable_record_is_no_verdict(agent: Agent, night: Path, tmp_path: Path) -> None:
    shutil.copytree(night / "runs", tmp_path / "runs", symlinks=True)
    (tmp_path / "runs" / "r" / "journal.jsonl").write_text('{"event": "trial_started"\n{}\n')
    assert "line 1: not an event" in one_line_error(agent(tmp_path, "replay", "r/1"), 4)


def test_a_commit_of_somebody_else_is_no_trial(agent: Agent, tmp_path: Path, environment: dict[str, str]) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e")
    for command in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "--message", "mine"]):
        subprocess.run(["git", *command], cwd=tmp_path, env=environment, check=True)
    assert "is not a trial: it has no trailer 'Run'" in one_line_error(agent(tmp_path, "replay", "HEAD"), 2)


def test_a_commit_made_to_deceive_is_refused(agent: Agent, tmp_path: Path, environment: dict[str, str]) -> None:
    def git(*args: str, given: str = "") -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", *args]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, input=given, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    blob = git("hash-object", "-w", "--stdin", given="text")
    inner = git("mktree", given=f"100644 blob {blob}\tescaped\n")
    tree = git("mktree", given=f"100644 blob {blob}\ttask.toml\n040000 tree {inner}\t..\n")
    facts = "Run: \x1b[31mr\nTrial: 0\nStatus: ok\nVal-Loss: 1.0\nSeed: 0\nTask: t 0123456789abcdef\n"
    commit = git("commit-tree", tree, "-m", f"trial 0: x\n\n{facts}")
    error = one_line_error(agent(tmp_path, "replay", commit), 4)
    assert "its file '../escaped' lies outside of its folder" in error
    other = facts.replace("ok", "duplicate").replace("Val-Loss: 1.0", "Kept: no")
    never_ran = git("commit-tree", tree, "-m", f"trial 0: x\n\n{other}")
    error = one_line_error(agent(tmp_path, "replay", never_ran), 2)
    assert "never ran (duplicate)" in error
    assert "\x1b" not in error
    assert not (tmp_path / "replays").exists()
