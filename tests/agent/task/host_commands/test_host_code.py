"""What a command of task.toml can run or read on the host is in the digest that the user agrees to."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import MissingRequirementError, TaskError, UsageError
from agent.task.corpus import prepare_corpus
from agent.task.host_commands import host_code
from agent.task.host_commands.host_code import build_context, check_environment, give_consent, host_steps, run_step
from agent.task.task import Task
from agent.task.unseen.pool_making import prepare_pool

INSTANT = Path(__file__).parents[3] / "tasks" / "instant"
BIGRAM = INSTANT.parent / "bigram_plain"
PREPARE = "import json, pathlib, sys\npathlib.Path(sys.argv[1], 'said').write_text(json.dumps(sorted(sys.modules)))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task whose frozen prepare.py imports json and writes down what was imported."""
    return made(tmp_path / "task", 'prepare = ["python", "prepare.py", "{out}"]')


def made(place: Path, data: str, environment: str = "") -> Path:
    shutil.copytree(INSTANT, place)
    toml = (place / "task.toml").read_text().replace("[task]\n", '[task]\nfrozen = ["prepare.py"]\n', 1)
    (place / "task.toml").write_text(f"{toml}\n[data]\n{data}\n[environment]\n{environment}\n")
    (place / "prepare.py").write_text(PREPARE)
    return place


@pytest.fixture(autouse=True)
def consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins where nobody has agreed to anything, as a command does."""
    monkeypatch.setattr(host_code, "_consent", host_code._Consent(is_required=True))


def ran(task: Task, tmp_path: Path) -> str:
    """Agree to all that the task does, run its prepare command, and return what it wrote."""
    give_consent(host_steps(task))
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    run_step(task, "prepare", {"out": out})
    return (out / "said").read_text()


def digests(folder: Path) -> tuple[str, ...]:
    return tuple(step.digest for step in host_steps(Task.load(folder)))


def a_package(folder: Path, evil: str) -> None:
    (folder / "json").mkdir()
    (folder / "json" / "__init__.py").write_text(evil)


def a_startup_file_below(folder: Path, evil: str) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "sitecustomize.py").write_text(evil)


def a_path_file(folder: Path, evil: str) -> None:
    (folder / "evil.pth").write_text(f"import os; {evil}")


def an_extension(folder: Path, evil: str) -> None:
    (folder / "json.so").write_bytes(b"\x7fELF")  # it would end the command: it cannot be loaded


def compiled_code(folder: Path, evil: str) -> None:
    import py_compile

    (folder / "source").write_text(evil)
    py_compile.compile(str(folder / "source"), cfile=str(folder / "json.pyc"))
    (folder / "__pycache__").mkdir()
    shutil.copy(folder / "json.pyc", folder / "__pycache__" / f"helper.{sys.implementation.cache_tag}.pyc")


def the_script(folder: Path, evil: str) -> None:
    (folder / "train.py").write_text((folder / "train.py").read_text() + evil)
    (folder / "prepare.py").write_text("try:\n    import train\nexcept ImportError: pass\n" + PREPARE)


def a_link_to_a_folder(folder: Path, evil: str) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "__init__.py").write_text(evil)
    (folder / "json").symlink_to(elsewhere)


@pytest.mark.parametrize(
    "shadow",
    [a_package, a_startup_file_below, a_path_file, an_extension, compiled_code, the_script, a_link_to_a_folder],
)
@pytest.mark.parametrize("path", [None, "", ".", "lib:."])
def test_a_command_imports_nothing_from_the_folder_that_was_not_agreed_to(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shadow: Callable[[Path, str], None],
    path: str | None,
) -> None:
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    marker = tmp_path / "marker"
    shadow(folder, f"\nopen({str(marker)!r}, 'w').close()\n")
    assert '"json"' in ran(Task.load(folder), tmp_path)
    assert not marker.exists()


def test_python_files_beside_the_script_are_agreed_to(folder: Path) -> None:
    before = digests(folder)
    (folder / "json.py").write_text("dumps = str\n")
    assert digests(folder) != before


def test_the_script_may_change(folder: Path) -> None:
    before = digests(folder)
    (folder / "train.py").write_text((folder / "train.py").read_text() + "\n# a remark\n")
    assert digests(folder) == before


@pytest.mark.parametrize("named", ["raw", "raw/*.bin", "--from=raw/a.bin", "{absolute}/raw/a.bin", "./raw"])
def test_files_that_the_command_names_are_there_and_agreed_to(tmp_path: Path, named: str) -> None:
    folder = tmp_path / "task"
    made(folder, f'prepare = ["python", "prepare.py", "{{out}}", "{named.format(absolute=folder)}"]')
    (folder / "prepare.py").write_text(
        "import pathlib, sys\npathlib.Path(sys.argv[1], 'said').write_bytes(pathlib.Path('raw/a.bin').read_bytes())\n"
    )
    (folder / "raw").mkdir()
    (folder / "raw" / "a.bin").write_text("a pickle")
    before = digests(folder)
    assert ran(Task.load(folder), tmp_path) == "a pickle"
    (folder / "raw" / "a.bin").write_text("another pickle")
    assert digests(folder) != before


def test_what_was_swapped_after_it_was_agreed_to_does_not_run(tmp_path: Path) -> None:
    folder = made(tmp_path / "task", 'prepare = ["python", "prepare.py", "{out}"]')
    (folder / "helper.py").write_text("")
    task = Task.load(folder)
    give_consent(host_steps(task))
    (folder / "helper.py").write_text("evil = 1\n")
    with pytest.raises(UsageError, match="a file of it has changed since"):
        run_step(task, "prepare", {"out": tmp_path})
    (folder / "helper.py").write_text("")
    (folder / "prepare.py").write_text("raise SystemExit('swapped')\n")
    run_step(task, "prepare", {"out": tmp_path})  # what was read is what runs
    with pytest.raises(UsageError, match="a file of it has changed since"):
        run_step(Task.load(folder), "prepare", {"out": tmp_path})


def test_nothing_runs_that_nobody_agreed_to(tmp_path: Path) -> None:
    task = Task.load(Path(shutil.copytree(BIGRAM, tmp_path / "task")))
    with pytest.raises(UsageError, match=r"nobody has agreed to this of .*prepares data: python prepare.py"):
        prepare_corpus(task, tmp_path / "cache")
    give_consent(host_steps(task)[:1])
    prepare_corpus(task, tmp_path / "cache")
    with pytest.raises(UsageError, match=r"makes the pool: python pool\.py"):
        prepare_pool(task, tmp_path / "cache")
    give_consent(host_steps(task))
    assert prepare_pool(task, tmp_path / "cache").n_slices


def test_a_command_that_lacks_a_file_says_where_to_name_it(folder: Path, tmp_path: Path) -> None:
    (folder / "prepare.py").write_text("open('raw.txt')\n")
    with pytest.raises(MissingRequirementError, match=r"raw\.txt.*add what it lacks to `frozen` in task\.toml"):
        ran(Task.load(folder), tmp_path)


def test_a_program_of_the_task_runs_and_is_agreed_to(tmp_path: Path) -> None:
    folder = made(tmp_path / "task", 'prepare = ["./prepare.sh", "{out}"]')
    (folder / "prepare.sh").write_text('#!/bin/sh\necho hello > "$1/said"\n')
    (folder / "prepare.sh").chmod(0o755)
    before = digests(folder)
    assert ran(Task.load(folder), tmp_path) == "hello\n"
    (folder / "prepare.sh").write_text("#!/bin/sh\n")
    assert digests(folder) != before


def test_an_interpreter_in_the_folder_runs_where_it_lies_and_is_tied_to_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "task", 'prepare = [".venv/bin/python", "prepare.py", "{out}"]')
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    before = host_steps(Task.load(folder))
    assert before[0].line == f"prepares data: {folder}/.venv/bin/python prepare.py {{out}}"
    copy = Path(shutil.copytree(folder, tmp_path / "copy", symlinks=True))
    assert digests(copy) != digests(folder)
    (folder / ".venv" / "pyvenv.cfg").write_text("home = /evil\n")
    assert digests(folder)[0] != before[0].digest


def test_commands_are_trusted_wherever_they_lie_and_mounts_in_their_folder_only(tmp_path: Path) -> None:
    data, mounts = 'prepare = ["python", "prepare.py", "{out}"]', 'mounts = [{ source = "/srv", target = "/x" }]'
    one, other = made(tmp_path / "one", data, mounts), made(tmp_path / "other", data, mounts)
    assert digests(one)[0] == digests(other)[0]
    assert digests(one)[1] != digests(other)[1]


def test_mounts_and_variables_are_shown_as_they_are_opened(tmp_path: Path) -> None:
    environment = 'mounts = [{ source = "data", target = "/x" }]\nvariables = ["API_KEY"]'
    folder = made(tmp_path / "task", 'prepare = ["python", "prepare.py"]', environment)
    (folder / "data").symlink_to("/srv")
    task = Task.load(folder)
    assert [step.line for step in host_steps(task)[1:]] == [
        "opens to jobs: /srv, as /x",
        "passes to jobs your variables API_KEY",
    ]
    give_consent(host_steps(task))
    check_environment(task)
    (folder / "data").unlink()
    (folder / "data").symlink_to("/etc")
    with pytest.raises(UsageError, match="opens to jobs: /etc, as /x"):
        check_environment(Task.load(folder))


def test_what_a_profile_runs_is_agreed_to_by_itself(tmp_path: Path) -> None:
    folder = made(tmp_path / "task", 'prepare = ["python", "prepare.py", "{out}"]')
    with (folder / "task.toml").open("a") as file:
        file.write('[profiles.a.data]\nprepare = ["python", "prepare.py", "{out}", "evil"]\n')
    give_consent(host_steps(Task.load(folder)))
    run_step(Task.load(folder), "prepare", {"out": tmp_path})
    with pytest.raises(UsageError, match=r"python prepare\.py {out} evil"):
        run_step(Task.load(folder, "a"), "prepare", {"out": tmp_path})


def test_a_build_gets_exactly_the_files_that_were_agreed_to(tmp_path: Path) -> None:
    folder = made(tmp_path / "task", 'prepare = ["python", "prepare.py"]', 'dockerfile = "link/Dockerfile"')
    for name in ("real", "link", "real/old", "real/.git"):
        (folder / name).mkdir()
    (folder / "real" / "Dockerfile").write_text("FROM scratch\n")
    (folder / "link" / "Dockerfile").symlink_to("../real/Dockerfile")  # the context is `real`
    (folder / "real" / "setup.sh").write_text("echo one\n")
    (folder / "real" / "outside").symlink_to("/etc/passwd")
    (folder / "real" / "old" / ".autocentaur-runs").write_text("")
    (folder / "real" / "old" / "evil.sh").write_text("a folder of runs is no part of it\n")
    (folder / "real" / ".git" / "config").write_text("")
    task = Task.load(folder)
    give_consent(host_steps(task))
    with build_context(task) as dockerfile:
        assert sorted(os.listdir(dockerfile.parent)) == ["Dockerfile", "setup.sh"]
    assert not dockerfile.exists()
    (folder / "real" / "setup.sh").write_text("echo two\n")
    with pytest.raises(UsageError, match="builds: link/Dockerfile"), build_context(task):
        pass


@pytest.mark.parametrize("named", ["../Dockerfile", "missing/Dockerfile", "up/Dockerfile"])
def test_a_dockerfile_outside_of_the_folder_is_not_built(tmp_path: Path, named: str) -> None:
    folder = made(tmp_path / "task", 'prepare = ["python", "prepare.py"]', f'dockerfile = "{named}"')
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (folder / "up").symlink_to(tmp_path)
    task = Task.load(folder)
    give_consent(host_steps(task))
    with pytest.raises(TaskError, match="no dockerfile"), build_context(task):
        pass


def test_what_is_no_file_and_what_is_too_much_is_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "beside.py")  # nobody writes to it: reading would wait for ever
    assert host_steps(Task.load(folder))
    monkeypatch.setattr("agent.task.host_commands.host_files.MOST_FILES", 1)
    for number in range(2):
        (folder / f"{number}.txt").write_text("")
    toml = (folder / "task.toml").read_text().replace('"prepare.py", "{out}"]', '"prepare.py", "*.txt"]')
    (folder / "task.toml").write_text(toml)
    with pytest.raises(TaskError, match="is more than 1 files"):
        host_steps(Task.load(folder))
