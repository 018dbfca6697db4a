"""Projects of many layouts: init finds what a trial needs, and three trials run in the sandbox."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.errors import UsageError
from agent.task.init.find_script import find_script
from agent.task.task import Task
from tests import commands

FILES = Path(__file__).parents[3] / "scripts" / "files"
Agent = Callable[..., CompletedProcess[str]]


@dataclass(frozen=True)
class Shape:
    """What init should make of a project."""

    script: str
    frozen: frozenset[str]
    command: tuple[str, ...] = ("python",)  # its first words
    options: tuple[str, ...] = ()
    folder: str = "."  # of the script, in the project
    mounts: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None


SHAPES = {
    "package": Shape(
        "curve/train.py", frozenset({"curve/"}), ("python", "-m", "curve.train"), ("--script", "curve/train.py")
    ),
    "src-layout": Shape(
        "scripts/train_line.py",
        frozenset({"src/fitting/"}),
        ("python", "scripts/train_line.py"),
        ("--script", "scripts/train_line.py"),
        variables={"PYTHONPATH": "src"},
    ),
    "subfolder": Shape(
        "source/train.py",
        frozenset({"source/features.py", "tables/points.csv"}),
        options=("--script", "source/train.py"),
    ),
    "library-beside-main": Shape("main.py", frozenset({"train.py"})),
    "data-above": Shape("train.py", frozenset(), folder="project", mounts=("../data/points.txt",)),
    "data-by-option": Shape(
        "train.py", frozenset({"settings/small.py", "data/"}), options=("--args", "settings/small.py")
    ),
    "composed": Shape(
        "composed/train.py",
        frozenset({"composed/", "configs/"}),
        ("python", "-m", "composed.train"),
        ("--script", "composed/train.py"),
    ),
    "saves-beside": Shape("train.py", frozenset({"booster.py"})),
    "extends-path": Shape(
        "experiments/run_fit.py", frozenset({"toolbox/"}), options=("--script", "experiments/run_fit.py")
    ),
}  # fmt: skip


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    return lambda *args: commands.agent(*args, cwd=tmp_path, env=environment)


def three_trials(agent: Agent, folder: str) -> None:
    done = agent("run", "--task", folder, "--name", "r", "--mode", "random", "--trials", "3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [trial["status"] for trial in json.loads(done.stdout)["trials"]] == ["ok"] * 3


def paths_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_a_project_runs_as_its_user_starts_it(agent: Agent, tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    shutil.copytree(FILES / name, tmp_path / "p", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "p" / shape.folder
    before = paths_in(tmp_path / "p")
    done = agent("init", str(folder), *shape.options)
    assert done.returncode == 0, done.stderr
    task = Task.load(folder)
    assert task.script.replace("_block", "") == shape.script
    assert set(task.frozen_entries) == shape.frozen
    assert task.command[: len(shape.command)] == shape.command
    assert tuple(mount.target for mount in task.environment.mounts) == shape.mounts
    if shape.variables is not None:
        assert task.variables == shape.variables
    three_trials(agent, str(folder))
    new = paths_in(tmp_path / "p") - before
    assert all(name.rpartition("/")[2] in ("task.toml",) or "_block" in name for name in new)  # nothing else


def test_a_folder_that_is_a_link_or_too_large_is_mounted_where_it_was(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.txt").write_text("0.3")
    folder = tmp_path / "p"
    (folder / "big").mkdir(parents=True)
    with (folder / "big" / "table.bin").open("wb") as file:
        file.truncate(20 * 2**20)
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    (folder / "train.py").write_text(
        "import os\nLR = 0.1\nx = float(open('data/x.txt').read())\n"
        "n = os.path.getsize(os.path.join('big', 'table.bin'))\nprint(f'val loss {abs(x - LR) + n / 1e9}')\n"
    )
    done = agent("init", "p")
    assert "too large for a copy in every trial" in done.stdout
    assert f"a link to {(tmp_path / 'elsewhere').resolve()}" in done.stdout
    assert {mount.target for mount in Task.load(folder).environment.mounts} == {"data/x.txt", "big/table.bin"}
    three_trials(agent, "p")


def test_windows_text_is_read_and_stays_as_it_is(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    code = (
        b"\xef\xbb\xbfLR = 0.1\r\nfor step in range(3):\r\n    loss = (LR - 0.3) ** 2\r\nprint(f'val loss {loss}')\r\n"
    )
    (folder / "train.py").write_bytes(code)
    assert agent("init", "p").returncode == 0
    (folder / "task.toml").write_bytes(b"\xef\xbb\xbf" + (folder / "task.toml").read_bytes().replace(b"\n", b"\r\n"))
    three_trials(agent, "p")
    assert (folder / "train.py").read_bytes() == code


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"train_gpt.py": "loss", "hellaswag.py": "main"}, "train_gpt.py"),
        ({"main.py": "import model; loss", "model.py": "loss"}, "main.py"),
        ({"train.py": "def", "main.py": "import train"}, "main.py"),
        ({"pretrain.py": "loss", "eval.py": "main", "sample.py": "loss"}, "pretrain.py"),
        ({"run_fit.py": "main", "data.py": "def", "test_fit.py": "main"}, "run_fit.py"),
        ({"simple_example.py": "other", "report.py": "def"}, "simple_example.py"),
        ({"fit.py": "loss", "train.py": "broken"}, "broken"),
    ],
)
def test_the_script_is_the_file_that_trains_when_it_is_started(
    tmp_path: Path, files: dict[str, str], chosen: str
) -> None:
    loop = "for step in range(3):\n    loss = 1\n"
    body = loop.replace("\n", "\n    ").rstrip()
    kinds = {
        "loss": loop,
        "main": f"def main():\n    {body}\nif __name__ == '__main__':\n    main()\n",
        "def": f"def f():\n    {body}\n",
        "broken": "x = (\n",
        "other": "print(1)\n",
        "import train": "import train\ntrain.f()\n",
        "import model; loss": f"import model\n{loop}",
    }
    for name, kind in files.items():
        (tmp_path / name).write_text(kinds[kind])
    if chosen == "broken":
        with pytest.raises(UsageError, match=r"train\.py:1: does not parse"):
            find_script(tmp_path, None)
        return
    assert find_script(tmp_path, None).name == chosen


def test_keys_and_the_home_folder_are_never_opened_by_a_path_above(agent: Agent, tmp_path: Path) -> None:
    for name in ("home/.ssh/id", "home/p/train.py", "secret/.aws/token"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "home" / "p" / "data").symlink_to(tmp_path / "secret" / ".aws")
    (tmp_path / "home" / "p" / "train.py").write_text(
        "LR = 0.1\nfor path in ('../.ssh/id', '..', '../..', '../../home', 'data/token', '../../../../etc/passwd'):\n"
        "    open(path)\nprint(f'val loss {LR}')\n"
    )
    assert agent("init", "home/p").returncode == 0
    task = Task.load(tmp_path / "home" / "p")
    assert (task.environment.mounts, task.frozen) == ((), ())


def test_a_script_below_the_folder_is_named_though_its_package_trains(tmp_path: Path) -> None:
    for name, code in {
        "tiny/__init__.py": "",
        "tiny/trainer.py": "def run():\n    for step in range(3):\n        loss = 1\n",
        "projects/adder/adder.py": "from tiny.trainer import run\nif __name__ == '__main__':\n    run()\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    with pytest.raises(UsageError, match=r"name the script: --script projects/adder/adder\.py"):
        find_script(tmp_path, None)


def test_a_script_whose_paths_are_as_seen_from_its_own_folder_is_started_there(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "points.csv").write_text("0.3")
    (folder / "src" / "train.py").write_text(
        "LR = 0.1\nx = float(open('points.csv').read())\nopen('best.txt', 'w')\nprint(f'val loss {abs(x - LR)}')\n"
    )
    assert agent("init", "p", "--script", "src/train.py").returncode == 0
    assert Task.load(folder).command == ("sh", "-c", 'cd src && exec "$0" "$@"', "python", "train.py")
    three_trials(agent, "p")
