"""Nothing that a stranger's task names is run on this machine before this user has agreed to it."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.store.trust import Trust
from agent.task.host_commands.host_code import host_steps
from agent.task.task import Task
from tests import commands
from tests.kill_anywhere.killed_runs import INSTANT

Agent = Callable[..., CompletedProcess[str]]
BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    def run(folder: Path, *argv: str, user: str = "user") -> CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / user), "LANG": "C.UTF-8", "AUTOCENTAUR_TRUST": "0"}
        if user == "stranger":
            env["AUTOCENTAUR_TRUST"] = "1"
        return commands.agent(*argv, cwd=folder, env=env)

    return run


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A folder with `task`, as a stranger has written it: it leaves a marker where it prepares data."""
    place = tmp_path / "strange"
    shutil.copytree(BIGRAM, place / "task")
    prepare = place / "task" / "prepare.py"
    prepare.write_text(prepare.read_text() + f"\nopen({str(tmp_path / 'marker')!r}, 'w').close()\n")
    return place


@pytest.fixture
def strange(agent: Agent, sent: Path, tmp_path: Path) -> Path:
    """The same with `runs`, which the stranger has made."""
    argv = ("run", "--task", "task", "--mode", "random", "--trials", "2", "--name", "r", "--no-confirm")
    done = agent(sent, *argv, user="stranger")
    assert done.returncode == 0, done.stderr
    (tmp_path / "marker").unlink()
    return sent


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv",
    [
        ("resume", "r", "--trials", "3"), ("replay", "r/1"), ("attribute", "r"), ("best", "r", "--verify"),
        ("run", "--from", "r/1", "--trials", "1"), ("noise", "r/1"),
    ],
)  # fmt: skip
def test_a_strangers_run_prepares_nothing(agent: Agent, strange: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    done = agent(strange, *argv)
    assert done.returncode == 2
    assert "would do this outside of the sandbox: prepares data: python prepare.py" in done.stderr
    assert "`agent trust runs`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "marker").exists()


def test_what_is_trusted_once_runs_until_it_changes(agent: Agent, strange: Path, tmp_path: Path) -> None:
    done = agent(strange, "trust", "runs")
    assert done.returncode == 0, done.stderr
    assert "prepares data: python prepare.py --out {out}" in done.stdout
    assert agent(strange, "replay", "r/1").returncode == 0
    assert (tmp_path / "marker").exists()
    shutil.rmtree(tmp_path / "user" / ".cache")
    prepare = strange / "task" / "prepare.py"
    prepare.write_text(prepare.read_text() + "\n# another line\n")
    again = agent(strange, "resume", "r", "--trials", "3")
    assert again.returncode == 2
    assert "is not trusted yet" in again.stderr


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"\n", 2), (b"y\n", 0)])
def test_a_person_is_asked_once(sent: Path, tmp_path: Path, answer: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer)  # it waits in the terminal until somebody reads
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "user"), "LANG": "C.UTF-8", "TERM": "xterm"}
    argv = [sys.executable, "-m", "agent", "prepare", "--task", "task"]
    done = subprocess.run(argv, cwd=sent, env=env, stdin=theirs, stdout=theirs, stderr=theirs, check=False)
    output = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "prepares data: python prepare.py --out {out}" in output
    assert "Do you trust it? [y/N]" in output
    assert done.returncode == code
    assert (tmp_path / "marker").exists() == (code == 0)


def test_the_command_for_trust_is_printed_where_nobody_can_be_asked(agent: Agent, strange: Path) -> None:
    assert agent(strange, "replay", "r/1", "--trust").returncode == 0
    assert agent(strange, "replay", "r/1").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("argv", [("resume", "r", "--trials", "3"), ("attribute", "r"), ("best", "r", "--verify")])
def test_no_command_writes_into_a_run_with_a_link_anywhere(
    agent: Agent, strange: Path, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    (strange / "runs" / "r" / "trials" / "0001" / "files" / "lib").symlink_to(tmp_path)
    done = agent(strange, *argv, user="stranger")
    assert done.returncode == 2
    assert "files/lib is a link, which no run creates there" in done.stderr


def test_reading_needs_no_trust(agent: Agent, strange: Path) -> None:
    for argv in (("log", "r"), ("show", "r/1"), ("best", "r"), ("report", "r"), ("export", "r"), ("diff", "r/1")):
        assert agent(strange, *argv).returncode == 0


@pytest.mark.parametrize(
    "argv", [("run", "--trials", "1"), ("noise",), ("prepare",), ("compare", "--modes", "random", "--trials", "1")]
)
def test_a_named_folder_is_refused_too_where_nobody_can_be_asked(
    agent: Agent, sent: Path, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    done = agent(sent, *argv, "--task", "task")
    assert done.returncode == 2
    assert "would do this outside of the sandbox: prepares data: python prepare.py" in done.stderr
    assert "`agent trust task`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "marker").exists()


def test_a_copy_of_what_ships_with_the_program_runs_without_a_question(agent: Agent, tmp_path: Path) -> None:
    task = Path(shutil.copytree(BIGRAM, tmp_path / "elsewhere" / "copy"))
    toml, script = task / "task.toml", task / "train.py"
    toml.write_text(toml.read_text() + f'\n[environment]\npython = "{sys.executable}"\n')
    script.write_text(script.read_text() + "\n# another script\n")
    done = agent(tmp_path, "prepare", "--task", str(task))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "user" / ".config" / "autocentaur" / "trusted.json").exists()
    (task / "prepare.py").write_text((task / "prepare.py").read_text() + "\n# a line more\n")
    assert agent(tmp_path, "prepare", "--task", str(task)).returncode == 2


def test_an_interpreter_that_runs_the_program_itself_is_no_strangers(agent: Agent, tmp_path: Path) -> None:
    task = Path(shutil.copytree(INSTANT, tmp_path / "task"))
    toml = (task / "task.toml").read_text()
    argv = ("run", "--task", "task", "--mode", "random", "--trials", "1")
    (task / "task.toml").write_text(f'{toml}\n[environment]\npython = "{sys.executable}"\n')
    assert agent(tmp_path, *argv).returncode == 0
    linked = tmp_path / "other" / "bin" / "python"  # the same file, with packages and start-up files of its own
    linked.parent.mkdir(parents=True)
    linked.symlink_to(sys.executable)
    (task / "task.toml").write_text(f'{toml}\n[environment]\npython = "{linked}"\n')
    done = agent(tmp_path, *argv)
    assert done.returncode == 2
    assert f"interpreter: {linked}, a link to " in done.stderr


def test_doctor_runs_no_strangers_interpreter(agent: Agent, tmp_path: Path) -> None:
    task = Path(shutil.copytree(INSTANT, tmp_path / "task"))
    program = task / "python"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'marker'}\n")
    program.chmod(0o755)
    (task / "task.toml").write_text((task / "task.toml").read_text() + '\n[environment]\npython = "./python"\n')
    done = agent(tmp_path, "doctor", "--task", "task")
    assert done.returncode == 4
    assert f"interpreter: {task}/python" in done.stdout
    assert not (tmp_path / "marker").exists()


@pytest.mark.slow
def test_a_tracker_imports_nothing_from_the_current_folder(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w').close()\n")
    argv = ("run", "--task", str(INSTANT), "--mode", "random", "--trials", "1", "--name", "r", "--track", "tensorboard")
    assert agent(tmp_path, *argv).returncode == 0
    assert (tmp_path / "runs" / "r" / "tensorboard.log").exists()
    assert not (tmp_path / "marker").exists()


def test_doctor_imports_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.cli.checks.machine import _script_environment

    task = Path(shutil.copytree(INSTANT, tmp_path / "task"))
    (task / "train.py").write_text("import torch\n" + (task / "train.py").read_text())
    (tmp_path / "csv.py").write_text(
        f"open({str(tmp_path / 'marker')!r}, 'w').close()\n"
    )  # importlib.metadata wants it
    monkeypatch.chdir(tmp_path)
    assert _script_environment(Task.load(task)).what == "script's python"
    assert not (tmp_path / "marker").exists()


def test_trust_covers_every_profile(agent: Agent, sent: Path, tmp_path: Path) -> None:
    with (sent / "task" / "task.toml").open("a") as file:
        file.write('\n[profiles.other.data]\nprepare = ["python", "prepare.py", "--out", "{out}", "--more"]\n')
    done = agent(sent, "trust", "task")
    assert "prepares data: python prepare.py --out {out} --more" in done.stdout
    other = Task.load(sent / "task", "other")
    assert not Trust(tmp_path / "user" / ".config" / "autocentaur" / "trusted.json").lacking(host_steps(other))


def test_what_init_has_written_and_what_came_along_is_trusted(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("RATE = 0.1\nprint('---')\nprint(f'val_loss: {RATE}')\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert agent(tmp_path, "init", ".").returncode == 0
    assert 'python = ".venv/bin/python"' in (tmp_path / "task.toml").read_text()
    argv = ("run", "--task", ".", "--mode", "random", "--trials", "1", "--name", "r")
    assert "outside of the sandbox" not in agent(tmp_path, *argv).stderr
    asked = agent(tmp_path, *argv, user="another")
    assert asked.returncode == 2
    assert "outside of the sandbox: interpreter:" in asked.stderr


def test_what_a_stranger_wrote_into_task_toml_is_asked_about_although_init_keeps_it(
    agent: Agent, tmp_path: Path
) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "train.py").write_text("RATE = 0.1\nprint(f'val loss {RATE}')\n")
    assert agent(tmp_path, "init", "sent", user="stranger").returncode == 0
    with (folder / "task.toml").open("a") as file:
        file.write(f'\n[data]\nprepare = ["touch", "{tmp_path / "marker"}", "{{out}}/x"]\n')
    for argv in (
        ("init", "sent", "--force", "--try"),
        ("init", "sent", "--force", "--try", "--json"),
        ("run", "--task", "sent", "--mode", "random", "--trials", "1", "--name", "r"),
    ):
        done = agent(tmp_path, *argv)
        assert done.returncode == 2, done.stdout
        assert "would do this outside of the sandbox: prepares data: touch" in done.stderr
        assert "run `agent trust sent`" in done.stderr
        assert ("or add --trust" in done.stderr) == (argv[0] == "run")
        assert not (tmp_path / "marker").exists()
    assert agent(tmp_path, "trust", "sent").returncode == 0
    agent(tmp_path, "init", "sent", "--force", "--try")
    assert (tmp_path / "marker").exists()


def test_a_task_that_names_nothing_needs_no_trust(agent: Agent, tmp_path: Path) -> None:
    argv = ("run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--name", "r")
    assert agent(tmp_path, *argv).returncode == 0
    for argv in (("resume", "r", "--trials", "3"), ("replay", "r/1")):
        done = agent(tmp_path, *argv)
        assert done.returncode == 0, done.stderr


def clone_with(tmp_path: Path, python: str, agent: Agent) -> Path:
    """Return a clone of a run whose task.toml names an interpreter: this one, as its stranger runs it."""
    task = tmp_path / "task"
    shutil.copytree(INSTANT, task)
    with (task / "task.toml").open("a") as file:
        file.write(f'\n[environment]\npython = "{python}"\n')
    done = agent(tmp_path, "run", "--task", "task", "--mode", "random", "--trials", "1", "--name", "r", user="stranger")
    assert done.returncode == 0, done.stderr
    clone = tmp_path / "clone"
    git = ["git", "-c", "safe.directory=*"]
    subprocess.run([*git, "clone", "-q", "-b", "r", str(tmp_path / "runs" / "trials.git"), str(clone)], check=True)
    return clone


def test_an_interpreter_never_comes_from_a_commit(agent: Agent, tmp_path: Path) -> None:
    clone = clone_with(tmp_path, str(Path(os.__file__).parents[2] / "bin" / "python3"), agent)
    for argv in (("replay", "r/0"), ("replay", "r/0", "--trust")):
        done = agent(clone, *argv)
        assert done.returncode == 2
        assert "an interpreter never comes from a commit" in done.stderr
    assert agent(clone, "trust", str(tmp_path / "task")).returncode == 0
    own = agent(clone, "replay", "r/0", "--task", str(tmp_path / "task"))
    assert own.returncode == 0, own.stderr


def test_a_spoilt_file_of_what_is_trusted_trusts_nothing(tmp_path: Path) -> None:
    task = Task.load(Path(shutil.copytree(BIGRAM, tmp_path / "task")))
    (task.folder / "helper.py").write_text("imported = 1\n")
    known, steps = Trust(tmp_path / "config" / "trusted.json"), host_steps(task)
    known.remember(steps)
    assert known.lacking(steps) == ()
    known.file.write_text("{")
    assert known.lacking(steps) == steps


def test_what_came_with_the_program_is_trusted_in_its_own_words_only(tmp_path: Path) -> None:
    from agent.resources import folder

    nobody = Trust(tmp_path / "trusted.json")
    bundled = Task.load(folder("train_template"))
    assert nobody.lacking(host_steps(bundled)) == ()
    toml = bundled.files["task.toml"].replace(b"[environment]\n", b'[environment]\npython = "/evil"\n', 1)
    posing = Task(bundled.folder, {**bundled.files, "task.toml": toml}, as_is=True)
    assert [step.line for step in nobody.lacking(host_steps(posing))] == ["interpreter: /evil"]
