"""`agent init --try` runs a script in the sandbox, learns what its text does not say, and names the line to change."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from agent.task.task import Task
from tests import commands
from tests.docker_engine import skip_without_docker

Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}


@pytest.fixture
def agent(tmp_path: Path, environment: dict[str, str]) -> Agent:
    return lambda *args: commands.agent(*args, cwd=tmp_path, env=environment)


def script(tmp_path: Path, code: str, **files: str) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text(code)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def tried(agent: Agent, *options: str) -> dict[str, Any]:
    done = agent("init", "mine", "--try", "--json", *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


ALL_AT_ONCE = """
import importlib, os, random
random.seed(int(os.environ.get("TRAIN_SEED", 0)))
LR = 0.1
UNUSED = 3.0
LATE = 0.5
MAX_STEPS = 200
net = importlib.import_module("net" + "s")
where = open("name.txt").read().strip()
data = [float(x) for x in open(where + "/" + "x.txt")]
w = random.random()
for step in range(MAX_STEPS):
    w += LR * (net.target(data) - w)
    if step > 150:
        w += LATE * 1e-3
print("unused", UNUSED)
name = " ".join(open("name.txt").read().replace(where, "validation loss").split())
print(name, ":", (w - .6) ** 2 + 1)
open("model.bin", "w").write("x")
"""


def test_what_the_text_does_not_say_is_seen_in_a_run(agent: Agent, tmp_path: Path) -> None:
    code = "def target(d): return sum(d) / len(d)\n"
    folder = script(tmp_path, ALL_AT_ONCE, name_txt="some", some__x_txt="0.7", nets_py=code)
    assert "--try" in agent("init", "mine").stderr  # its text shows no metric
    document = tried(agent)
    assert document["tried"]["metric"] == "validation_loss"
    seen = "\n".join(document["tried"]["seen"])
    assert "two runs agree to the last digit; another TRAIN_SEED changes the metric by" in seen
    assert "model.bin" in seen
    assert document["tried"]["effects"]["dead"] == ["UNUSED"]
    assert set(document["tried"]["effects"]["moves"]) == {"LR", "LATE"}  # LATE only in the whole training
    task = Task.load(folder)
    assert set(task.frozen) == {"name.txt", "nets.py", "some/x.txt"}
    assert task.space is not None
    assert set(task.space.names) == {"LR", "LATE"}
    assert task.keep.rule == "two-tier"
    text = (folder / "task.toml").read_text()
    assert "\n# Tried on 20" in text
    assert "but did not run it" not in text
    assert "# UNUSED = {" in text
    assert not (folder / "model.bin").exists()
    done = agent("run", "--task", "mine", "--mode", "random", "--trials", "2", "--name", "r")
    assert done.returncode == 0, done.stderr


@pytest.mark.docker
@pytest.mark.long
def test_a_script_is_tried_in_docker_as_in_bubblewrap(agent: Agent, tmp_path: Path) -> None:
    skip_without_docker()
    code = "def target(d): return sum(d) / len(d)\n"
    folder = script(tmp_path, ALL_AT_ONCE, name_txt="some", some__x_txt="0.7", nets_py=code)
    shown = []
    for kind in ("bubblewrap", "docker"):
        (folder / "task.toml").unlink(missing_ok=True)
        shown.append(tried(agent, "--sandbox", kind, "--try-budget", "4h")["tried"])
        assert f" in {kind} " in (folder / "task.toml").read_text()
    assert shown[0] == shown[1]
    assert "model.bin" in "\n".join(shown[1]["seen"])


@pytest.mark.docker
@pytest.mark.long
def test_a_metric_in_a_file_is_read_in_docker_too(agent: Agent, tmp_path: Path) -> None:
    skip_without_docker()
    script(tmp_path, IN_A_FILE)
    assert tried(agent, "--sandbox", "docker", "--metric", "m.jsonl:val_loss")["tried"]["value"] == 0.1


def test_what_a_run_has_shown_outlives_another_init(agent: Agent, tmp_path: Path) -> None:
    code = "LR = 0.1\nIDLE = 1.5\nx = open('x' + '.txt').read()\nprint(f'val loss {LR}')\n"
    folder = script(tmp_path, code, x_txt="1")
    tried(agent)
    done = agent("init", "mine", "--force")
    assert "kept from your task.toml: [task] frozen" in done.stdout
    assert "left out as in your task.toml: [space] IDLE" in done.stdout
    assert Task.load(folder).frozen == ("x.txt",)


FAILURES = {
    "missing": (
        'LR = 0.1\nopen("/srv/nowhere/x.bin")\nprint(f"val loss {LR}")\n',
        "/srv/nowhere/x.bin does not exist: prepare the data first",
    ),
    "missing beside": (
        'LR = 0.1\nopen("da" + "ta.csv")\nprint(f"val loss {LR}")\n',
        "data.csv does not exist in mine: prepare the data first",
    ),
    "module": ('import nomod.x\nLR = 0.1\nprint(f"val loss {LR}")\n', "has no module nomod"),
    "network": (
        'import socket\nLR = 0.1\nsocket.create_connection(("data.example.org", 80))\nprint(f"val loss {LR}")\n',
        "it uses the network (data.example.org), which no trial has",
    ),
    "no metric": (
        'LR = 0.1\nfor step in range(3): loss = LR\nprint("zig", 3)\n',
        "lines with numbers: zig 3. Name the text of one: --metric 'zig {}'",
    ),
    "far number": (
        'LR = 0.1\nfor step in range(3): loss = LR\nprint("z" * 200, 3)\n',
        "Name the text of one: --metric 'zzz",
    ),
    "bug": ('LR = 0.1\nprint(f"val loss {LR}")\n1 / 0\n', "ZeroDivisionError: division by zero; start the script"),
    "endless": ('LR = 0.1\nwhile True: loss = LR\nprint(f"val loss {loss}")\n', "--args '--max-steps 100'"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_ends_with_the_line_to_change(agent: Agent, tmp_path: Path, kind: str) -> None:
    code, words = FAILURES[kind]
    folder = script(tmp_path, code)
    done = agent("init", "mine", "--try", "--try-budget", "4s" if kind == "endless" else "60s")
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    if kind in ("no metric", "far number"):
        assert not (folder / "task.toml").exists()
    else:
        assert "but did not run it" in (folder / "task.toml").read_text()  # the plain one is there
        assert f"{Path('mine') / 'task.toml'} is as init read it" in done.stderr


def test_a_seed_without_effect_is_distinguished_from_chance_without_a_seed(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, 'import os\ns = os.environ.get("TRAIN_SEED")\nLR = 0.1\nprint(f"val loss {LR}")\n')
    assert "TRAIN_SEED has no effect" in "\n".join(tried(agent)["tried"]["seen"])
    assert Task.load(folder).keep.rule == "any"
    (folder / "train.py").write_text("import random\nLR = 0.1\nprint(f'val loss {LR + random.random()}')\n")
    seen = "\n".join(tried(agent, "--force")["tried"]["seen"])
    assert "something is not seeded" in seen
    assert Task.load(folder).keep.rule == "two-tier"


def test_a_metric_that_is_not_printed_gives_way_to_one_that_is(agent: Agent, tmp_path: Path) -> None:
    code = "import os\nLR = 0.1\nif 'NEVER_SET' in os.environ: print(f'val loss {LR}')\n"
    code += "print(*['valid', 'accuracy', LR])\n"
    folder = script(tmp_path, code)
    assert "does not print `val loss {}`" in "\n".join(tried(agent)["tried"]["seen"])
    task = Task.load(folder)
    assert (task.metric.name, task.metric.goal) == ("valid_accuracy", "maximise")


IN_A_FILE = """
import json
LR = 0.1
IDLE = 3.0
with open("m.jsonl", "w") as file:
    json.dump({"val_loss": LR}, file)
print("validation accuracy", 0.5)
"""


def test_a_metric_in_a_file_is_read_as_in_a_trial(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, IN_A_FILE.replace("validation accuracy", "done").replace(", 0.5", ""))
    document = tried(agent, "--metric", "m.jsonl:val_loss")["tried"]
    assert (document["metric"], document["value"]) == ("val_loss", 0.1)
    assert (document["effects"]["moves"], document["effects"]["dead"]) == (["LR"], ["IDLE"])
    assert Task.load(folder).score.file == "m.jsonl"


def test_a_file_of_a_script_that_is_started_in_its_own_folder_is_found(agent: Agent, tmp_path: Path) -> None:
    code = IN_A_FILE + "open('data/x.txt')\n"
    folder = script(tmp_path, code, data__x_txt="1")
    (folder / "sub").mkdir()
    for name in ("train.py", "data"):
        (folder / name).rename(folder / "sub" / name)
    document = tried(agent, "--script", "sub/train.py", "--metric", "m.jsonl:val_loss")
    assert document["tried"]["value"] == 0.1
    task = Task.load(folder)
    assert (task.command[0], task.score.file) == ("sh", "sub/m.jsonl")


@pytest.mark.parametrize(
    ("metric", "words", "option"),
    [
        ("m.jsonl:val", "m.jsonl has no value of 'val'; it has val_loss", "--metric m.jsonl:KEY"),
        ("n.jsonl:val_loss", "the script wrote no file n.jsonl", "--metric n.jsonl:KEY"),
        ("val acc {}", "the end of the log has no `val acc {}` with a number", "--metric 'validation accuracy {}'"),
    ],
)
def test_no_other_metric_takes_the_place_of_one_that_the_user_has_named(
    agent: Agent, tmp_path: Path, metric: str, words: str, option: str
) -> None:
    folder = script(tmp_path, IN_A_FILE)
    done = agent("init", "mine", "--try", "--metric", metric, "--goal", "minimise")
    assert done.returncode == 1
    assert words in done.stderr
    assert option in done.stderr
    assert "but did not run it" in (folder / "task.toml").read_text()


def test_a_value_that_crashes_is_reported_with_its_reason(agent: Agent, tmp_path: Path) -> None:
    code = "WIDTH = 64\nlast = ([0.5] * WIDTH)[63]\nprint(f'val loss {last / WIDTH}')\n"
    folder = script(tmp_path, code)
    effects = tried(agent)["tried"]["effects"]
    assert effects["moves"] == ["WIDTH"]
    assert any("IndexError: list index out of range" in why for _, why in effects["crashes"])
    (folder / "train.py").write_text(code.replace("last =", "assert WIDTH >= 64\nlast ="))  # becomes a constraint
    effects = tried(agent, "--force")["tried"]["effects"]
    assert (effects["moves"], effects["crashes"]) == (["WIDTH"], [])


def test_a_line_that_prints_the_setting_itself_is_no_effect(agent: Agent, tmp_path: Path) -> None:
    script(tmp_path, "LR = 0.1\nIDLE = 0.25\nprint('idle:', IDLE)\nprint(f'val loss {LR}')\n")
    effects = tried(agent)["tried"]["effects"]
    assert (effects["dead"], effects["moves"]) == (["IDLE"], ["LR"])


def test_edits_of_a_person_are_in_what_is_tried_and_stay(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, "LR = 0.1\nMAX_STEPS = 9\nprint(f'val loss {LR}')\n")
    assert agent("init", "mine").returncode == 0
    text = (folder / "task.toml").read_text().replace("processes = 256", "processes = 99  # mine")
    (folder / "task.toml").write_text(text)
    document = tried(agent, "--force")
    assert document["kept"] == ["kept from your task.toml: [limits] processes"]
    assert "processes = 99  # mine" in (folder / "task.toml").read_text()


def test_ctrl_c_keeps_the_plain_task_toml(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "import time\nLR = 0.1\nMAX_STEPS = 60\nfor s in range(MAX_STEPS): time.sleep(9)\nprint(f'val loss {LR}')\n"
    folder = script(tmp_path, code)
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "init", "mine", "--try"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[4])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "trying the script" in line:
                break
        time.sleep(0.5)  # some time into the run; it is right at any time
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "interrupted: task.toml is as it was" in rest
    assert tomllib.loads((folder / "task.toml").read_text())["task"]["name"] == "mine"
    assert "but did not run it" in (folder / "task.toml").read_text()


def test_it_is_a_next_step_where_there_is_no_terminal(agent: Agent, tmp_path: Path) -> None:
    script(tmp_path, "LR = 0.1\nprint(f'val loss {LR}')\n")
    assert "next: agent init mine --try --force" in agent("init", "mine").stdout


@pytest.mark.parametrize(("typed", "is_tried"), [("n\n", False), ("\n", False), ("y\n", True)])
def test_on_a_terminal_it_is_offered_at_the_end(
    tmp_path: Path, environment: dict[str, str], typed: str, *, is_tried: bool
) -> None:
    folder = script(tmp_path, "LR = 0.1\nprint(f'val loss {LR}')\n")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "init", "mine"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[4]), "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = ""
        while "[y/N]" not in shown:
            shown += os.read(ours, 65536).decode()
        os.write(ours, typed.encode())
        with suppress(OSError):  # how a terminal says that nobody has it open any more
            while more := os.read(ours, 65536):
                shown += more.decode()
    os.close(ours)
    assert process.returncode == 0
    assert "Run it in the sandbox now, to check these guesses (at most 10m)?" in shown
    assert ("\n# Tried on" in (folder / "task.toml").read_text()) is is_tried
