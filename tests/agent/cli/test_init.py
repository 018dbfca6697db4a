"""`agent init` on scripts of three builds: what it writes runs in the sandbox as it is, and nothing else is touched."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.errors import UsageError
from agent.task.init.advice import checks
from agent.task.init.host import HostResources
from agent.task.init.script_report import InitOptions, read_script
from agent.task.init.task_toml import files_of, write
from agent.task.task import Task
from tests import commands

SCRIPTS = Path(__file__).parents[2] / "scripts"
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """Return a function that runs `agent ARGS` in a folder of its own, whose folder `home` is the user's."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}

    def run(*args: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=tmp_path, env=environment)

    return run


def script(tmp_path: Path, name: str) -> Path:
    """Return a copy of a script's folder in the user's own git repository."""
    folder = tmp_path / name
    shutil.copytree(SCRIPTS / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


def git_files(folder: Path) -> dict[str, bytes]:
    """Return the repository's own files."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / ".git").rglob("*") if p.is_file()}


def three_trials(agent: Agent, folder: Path) -> list[dict[str, object]]:
    done = agent("run", "--task", folder.name, "--name", "r", "--mode", "random", "--trials", "3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    trials: list[dict[str, object]] = json.loads(done.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["ok"] * 3
    assert all(trial["self_reported"] for trial in trials)
    return trials


def init(folder: Path, *, force: bool = False, **wishes: str) -> list[str]:
    """Do what the command does, without the second that a process takes; return what to check."""
    reading = read_script(folder, InitOptions(**wishes), HostResources(4.0, 8.0, 2))  # type: ignore[arg-type]
    write(folder, files_of(reading), force=force)
    return list(checks(reading))


def test_autoresearchs_layout_needs_no_answers(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, "autoresearch")
    subprocess.run([sys.executable, folder / "prepare.py"], env={"HOME": str(tmp_path / "home")}, check=True)
    before, repository = (folder / "train.py").read_bytes(), git_files(folder)
    done = agent("init", "autoresearch")
    assert done.returncode == 0, done.stderr
    assert "val_bpb, lower is better" in done.stdout
    assert "prepare.py:7: TIME_BUDGET = 0.3" in done.stdout
    assert "self-reported" in done.stdout
    assert 'to let the host compute it: kind = "predictions"' in done.stdout
    assert 'with kind = "predictions" the host computes' in (folder / "task.toml").read_text()
    assert "does not read TRAIN_SEED" in done.stdout
    task = Task.load(folder)
    assert task.frozen == ("prepare.py",)
    assert (task.metric.name, task.metric.goal, task.score.kind, task.score.line) == (
        "val_bpb", "minimise", "printed", None,
    )  # fmt: skip
    assert (task.budget.unit, task.budget.amount, task.budget.counted_by) == ("seconds", 0.3, "script")
    assert [(mount.source, mount.target) for mount in task.environment.mounts] == [
        (str(Path.home() / ".cache/autoresearch"), "/tmp/.cache/autoresearch")
    ]
    assert task.space is not None
    assert set(task.space.names) == {"LEARNING_RATE", "WEIGHT_DECAY", "BATCH_SIZE", "INIT_SCALE", "SMOOTHING"}
    assert task.keep.rule == "any"  # a fresh run would repeat the same seed
    assert (folder / "train.py").read_bytes() == before
    assert git_files(folder) == repository
    # A tenth of a second of training cannot wait for a machine that is shared with other tests.
    with (folder / "task.toml").open("a") as file:
        file.write('\n[machine]\ncanary = "off"\n')
    trials = three_trials(agent, folder)
    assert trials[1]["params"] != trials[2]["params"]


def test_command_line_options_become_constants_of_a_copy(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, "arguments")
    repository = git_files(folder)
    done = agent("init", "arguments", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["written"] == ["arguments/task.toml", "arguments/main_block.py"]
    table = tomllib.loads((folder / "task.toml").read_text())
    assert table["score"]["line"] == "val loss {}"
    assert (table["budget"]["unit"], table["budget"]["amount"]) == ("steps", 300)
    assert table["space"]["OPTIMIZER"] == {"type": "categorical", "choices": ["sgd", "sign"]}
    assert (folder / "main.py").read_bytes() == (SCRIPTS / "arguments" / "main.py").read_bytes()
    trials = three_trials(agent, folder)  # it writes a checkpoint beside itself, and /task is read-only
    assert len({trial["val_loss"] for trial in trials}) == 3
    assert git_files(folder) == repository


def test_a_file_that_was_there_can_be_written_to_in_the_copy(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "mine" / "old").mkdir(parents=True)
    (tmp_path / "mine" / "old" / "log.txt").touch()
    code = 'LR = 0.5\nwhere = "old"\nopen(f"{where}/log.txt", "a").write("loss")\nprint("val loss", LR)\n'
    (tmp_path / "mine" / "train.py").write_text(code)
    assert agent("init", "mine").returncode == 0
    assert Task.load(tmp_path / "mine").frozen == ("old/log.txt",)
    done = agent("run", "--task", "mine", "--mode", "random", "--trials", "1", "--name", "r")
    assert done.returncode == 0, done.stderr


def test_a_settings_file_and_a_dataclass_are_searched_through_a_copy(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, "settings-file")
    done = agent("init", "settings-file")
    assert done.returncode == 0, done.stderr
    assert "a copy of fit.py with its fields of classes and values of a settings file" in done.stdout
    task = Task.load(folder)
    assert set(task.frozen) == {"config.json", "curve.csv", "model/__init__.py", "model/polynomial.py"}
    assert task.space is not None
    assert set(task.space.names) == {"DEGREE", "SCALE", "LR", "MOMENTUM", "BATCH_SIZE", "DECAY", "START_AT"}
    trials = three_trials(agent, folder)
    assert len({trial["val_loss"] for trial in trials}) == 3


def test_nothing_is_overwritten_unless_asked(agent: Agent, tmp_path: Path) -> None:
    folder = script(tmp_path, "arguments")
    (folder / "task.toml").write_text("mine")
    done = agent("init", "arguments")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: arguments/task.toml exists already, so nothing was written; --force replaces it\n")
    assert (folder / "task.toml").read_text() == "mine"
    assert not (folder / "main_block.py").exists()
    init(folder, force=True)
    assert "main_block.py" in (folder / "task.toml").read_text()
    init(folder, force=True)  # the copy is no second training script


@pytest.mark.parametrize(
    ("files", "named", "what"),
    [
        ({}, None, "no train.py and no other .py file with a training loop"),
        ({"a.py": "loss.backward()", "b.py": "m.fit(x)"}, None, "a.py, b.py all look like training scripts; name one"),
        ({"src/train.py": "x = 1"}, None, "--script src/train.py"),
        ({"train.py": "x = 1"}, None, "prints no recognisable validation metric"),
        ({"train.py": "print(f'val_loss: {x}'"}, None, "train.py:1: does not parse as Python"),
        ({"train.py": b"print('\xff')"}, None, "train.py: not UTF-8 text \\(byte 7\\)"),
        ({"train.py": b"x = 1\x00"}, None, "does not parse as Python"),
        ({"train.py": f"x = {'-' * 9000}1"}, None, "train.py: nested too deeply"),
        ({"train.py": "import lib", "lib.py": "x ="}, None, "lib.py:1: does not parse"),
        ({"train.py": "print(f'val_loss: {x}')"}, "../elsewhere.py", "is outside"),
        ({"train.py": "print(f'val_loss: {x}')"}, "other.py", "no such file"),
        (
            {"train.py": "import json\njson.load(open('c.json'))\nprint(f'val_loss: {x}')", "c.json": "{"},
            None,
            "c.json: ",
        ),
        (
            {"train.py": "import yaml\nyaml.safe_load('c.yml')\nprint(f'val_loss: {x}')", "c.yml": "a: [b"},
            None,
            "c.yml: ",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, files: dict[str, str | bytes], named: str | None, what: str
) -> None:
    folder = tmp_path / "my script"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=what) as refused:
        init(folder, **({"script": named} if named else {}))
    assert "\n" not in str(refused.value)
    assert not (folder / "task.toml").exists()


def test_odd_names_are_written_so_that_they_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / 'Größe "1" 🤖'
    (folder / "data").mkdir(parents=True)
    (folder / "data" / 'a "b" ü.txt').write_text("x")
    (folder / "my train.py").write_text(
        'LR = 1e-3\nNAME = "ü\\"🤖"\nopen(\'data/a "b" ü.txt\')\nfor step in range(3):\n    loss = LR\n'
        'print(f\'val "loss" {loss}\')\nprint(f"val_loss = {loss}")\n'
    )
    init(folder)
    task = Task.load(folder)
    assert (task.name, task.script, task.frozen) == ("gr-e-1", "my train.py", ('data/a "b" ü.txt',))
    assert task.score.line == "val_loss = {}"
    init(folder, force=True, metric='val "loss" {}')
    assert Task.load(folder).score.line == 'val "loss" {}'


def test_a_script_without_numbers_is_for_code_editing_and_says_so(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def main():\n    x = 3\n    print(f'val_acc: {x}')\nmain()\n")
    done = agent("init")
    assert done.returncode == 0, done.stderr
    assert "only --mode code-edit works" in done.stdout
    assert "agent run --task . --mode code-edit" in done.stdout
    task = Task.load(tmp_path)
    assert (task.space, task.metric.goal) == (None, "maximise")


def test_nothing_of_a_strange_folder_is_run_or_leads_out_of_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "strange", tmp_path / "precious"
    program = folder / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    outside.write_text("mine")
    (folder / ".task.toml.new").symlink_to(outside)
    os.mkfifo(folder / "pipe.py")
    (folder / "own.py").write_text(
        f"import numpy\nLR = 0.1\nNOTE = '{'a' * 280}'\nloss.backward()\nprint(f'val_loss: {{x}}')\n"
    )
    init(folder)
    assert not (tmp_path / "ran").exists()
    assert outside.read_text() == "mine"
    assert Task.load(folder).script == "own.py"


def test_what_a_script_is_named_or_names_steers_no_terminal(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J.txt").touch()
    (tmp_path / "train.py").write_text("LR = 0.1\nopen('a\x1b[2J.txt')\nprint(f'val_loss: {LR}')\n")
    done = agent("init")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "ESCAPE (U+001B), which is invisible" in done.stderr  # no task.toml may hold such a name
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    assert not (tmp_path / "task.toml").exists()


def test_settings_nested_absurdly_are_one_line(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a":' * 20_000 + "1" + "}" * 20_000)
    (tmp_path / "train.py").write_text("import json\njson.load(open('c.json'))\nprint(f'val_loss: {x}')\n")
    done = agent("init")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nested too deeply" in done.stderr


def test_an_interpreter_of_the_folder_is_the_scripts(tmp_path: Path) -> None:
    folder = script(tmp_path, "arguments")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (folder / "main.py").write_text("import no_such_library\n" + (folder / "main.py").read_text())
    assert init(folder)[0].startswith(".venv/bin/python has no no_such_library: `uv sync`")
    assert Task.load(folder).environment.python == str(folder / ".venv/bin/python")


def test_a_metric_that_a_module_of_the_folder_prints_is_found(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import loop\nLR = 0.1\nloop.main(LR)\n")
    (tmp_path / "loop.py").write_text("def main(lr):\n    print(f'val_loss={lr}')\n")
    init(tmp_path)
    task = Task.load(tmp_path)
    assert (task.score.line, task.frozen) == ("val_loss={}", ("loop.py",))


def test_options_beside_constants_are_listed_and_extracted_on_request(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import argparse\nWIDTH = 64\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
        "print(f'val_loss: {p.parse_args().lr * WIDTH}')\n"
    )
    output = init(tmp_path)
    assert "not searched: --lr; `agent init --block --force` writes a copy with constants for them" in output
    assert list(Task.load(tmp_path).defaults) == ["WIDTH"]
    init(tmp_path, force=True, block=True)  # type: ignore[arg-type]
    assert Task.load(tmp_path).defaults == {"LR": 0.1, "WIDTH": 64}


def test_on_a_terminal_an_unknown_direction_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text((SCRIPTS / "metrics" / "unknown_direction.py").read_text())
    main, terminal = pty.openpty()
    command = [str(Path(sys.executable).with_name("agent")), "init", str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8", "TERM": "dumb"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, cwd=tmp_path)
    os.close(terminal)
    os.write(main, b"sideways\nhigher\nn\n")  # the last answer: not to try it now
    output = b""
    with suppress(OSError):  # EIO: the process has closed its end
        while piece := os.read(main, 4096):
            output += piece
    os.close(main)
    assert process.wait() == 0, output.decode()
    assert output.count(b"is a higher or a lower value better?") == 2
    assert Task.load(folder).metric.goal == "maximise"


def test_elsewhere_it_is_refused_with_the_option_named(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text((SCRIPTS / "metrics" / "unknown_direction.py").read_text())
    done = agent("init", "mine")
    assert (done.returncode, (folder / "task.toml").exists()) == (2, False)
    assert "is a higher or a lower `val zorp: {}` better (train.py:7)?" in done.stderr
    assert "add --goal maximise or --goal minimise" in done.stderr
    assert agent("init", "mine", "--goal", "minimise").returncode == 0
    assert Task.load(folder).metric.goal == "minimise"


def test_a_metric_in_a_file_is_searched(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text((SCRIPTS / "metrics" / "csv_table.py").read_text())
    done = agent("init", "mine")
    assert "writes val_loss into logs/metrics.csv" in done.stdout, done.stderr
    score = Task.load(folder).score
    assert (score.file, score.key, score.pick) == ("logs/metrics.csv", "val_loss", "last")
    done = agent("run", "--task", "mine", "--name", "r", "--mode", "random", "--trials", "1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["trials"][0]["val_loss"] == 0.04
