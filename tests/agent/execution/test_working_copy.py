"""A trial writes into a copy of its files that ends with it, and finds there what is mounted beside or above it."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import TaskError
from agent.execution.judge import failure
from agent.execution.training_job import export, training_job
from agent.execution.working_copy import folder_of
from agent.store.paths import TrialPaths
from agent.task.task import Task
from sandbox.job import Execution, Sandbox

CONFIG = """[task]
name = "tiny"
frozen = ["sub/"]
[environment]
writable_copy = true
{mounts}
[score]
kind = "printed"
[budget]
unit = "work"
amount = 1
counted_by = "script"
[limits]
wall_seconds = 60
memory_gb = 0.5
scratch_mb = 8
output_mb = 2
"""


def run(sandbox: Sandbox, folder: Path, code: str, mounts: str = "") -> tuple[Execution, str]:
    config = CONFIG.format(mounts=f"mounts = [{mounts}]" if mounts else "")
    task = Task(folder, {"task.toml": config.encode(), "train.py": code.encode(), "sub/a.txt": b"frozen"})
    paths = TrialPaths(folder / "trial")
    paths.root.mkdir(exist_ok=True)
    export(task.files, paths.files)
    job = training_job(task, None, paths, label="r/0", train_seed=0, baseline_cpu_seconds=None, passed_on={})
    execution = sandbox.run(replace(job, environment={**job.environment}))
    failed = failure(execution, paths.log.read_text(), task.budget)
    return execution, failed[1] if failed else paths.log.read_text()


def test_what_a_trial_writes_beside_itself_reaches_nobody(sandbox: Sandbox, tmp_path: Path) -> None:
    code = (
        "import os\nassert not os.path.exists('outputs')\nos.makedirs('outputs/a')\n"
        "open('outputs/a/model', 'w').write('x')\nopen('sub/a.txt', 'a').write(' changed')\n"
        "open('train.py', 'a').write('#')\nprint(open('sub/a.txt').read(), os.getcwd())\n"
    )
    for _ in range(2):
        execution, log = run(sandbox, tmp_path, code)
        assert (execution.exit_code, log) == (0, "frozen changed /tmp/work\n")
    exported = tmp_path / "trial" / "files"
    assert {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()} == {
        "task.toml", "train.py", "sub/a.txt",
    }  # fmt: skip
    assert (exported / "sub" / "a.txt").read_text() == "frozen"


@pytest.mark.parametrize(
    ("target", "inside"),
    [("data", "data"), ("../data", "../data"), ("../../deep/data", "../../deep/data"), ("sub/more", "sub/more")],
)
def test_a_mount_is_where_the_script_looks_for_it_and_read_only(
    sandbox: Sandbox, tmp_path: Path, target: str, inside: str
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x.txt").write_text("0.25")
    code = f"print(open('{inside}/x.txt').read())\nopen('{inside}/x.txt', 'w')\n"
    mounts = f'{{ source = "shared", target = "{target}" }}'
    _, log = run(sandbox, tmp_path, code, mounts)
    assert (tmp_path / "trial" / "train.log").read_text().startswith("0.25\n")
    assert "Read-only file system" in log or "Permission denied" in log
    assert (tmp_path / "shared" / "x.txt").read_text() == "0.25"


def test_a_mount_in_the_place_of_the_copy_is_there_beside_it(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x.txt").write_text("0.25")
    code = (
        "import os\nopen('new', 'w')\nprint(open('/tmp/work/data/x.txt').read(), open('sub/a.txt').read(), os.getcwd())"
    )
    mounts = '{ source = "shared", target = "/tmp/work/data" }, { source = "shared", target = "/tmp/work-2" }'
    execution, log = run(sandbox, tmp_path, code, mounts)
    assert (execution.exit_code, log) == (0, "0.25 frozen /tmp/work-3\n")


@pytest.mark.parametrize("target", ["/tmp", "/tmp/", "/mounts/0"])
def test_a_mount_that_takes_the_place_of_the_copy_is_refused(tmp_path: Path, target: str) -> None:
    config = CONFIG.format(mounts=f'mounts = [{{ source = "/srv/x", target = "{target}" }}]')
    with pytest.raises(TaskError, match="is for the writable copy; choose one such as"):
        Task(tmp_path, {"task.toml": config.encode(), "train.py": b"", "sub/a.txt": b""})


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("for n in range(9): open(f'{n}.bin', 'wb').write(bytes(10**6))", "limits.scratch_mb"),
        ("open('large.bin', 'wb').write(bytes(3 * 2**20))", "limits.output_mb"),
        ("open('/task/x', 'w')", "writable_copy"),
    ],
)
def test_a_limit_that_is_hit_is_named(sandbox: Sandbox, tmp_path: Path, code: str, limit: str) -> None:
    execution, reason = run(sandbox, tmp_path, code)
    assert execution.exit_code == 1
    assert limit in reason


def test_files_that_do_not_fit_say_so(sandbox: Sandbox, tmp_path: Path) -> None:
    _, reason = run(sandbox, tmp_path, f"x = '{'a' * 9 * 2**20}'")
    assert "the copy of the task's files cannot be made" in reason
    assert "limits.output_mb" in reason


def test_a_command_that_is_not_there_is_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    config = CONFIG.replace('name = "tiny"', 'name = "tiny"\ncommand = ["no-such-program"]').format(mounts="")
    task = Task(tmp_path, {"task.toml": config.encode(), "train.py": b"", "sub/a.txt": b""})
    paths = TrialPaths(tmp_path / "trial")
    paths.root.mkdir()
    export(task.files, paths.files)
    job = training_job(task, None, paths, label="r/0", train_seed=0, baseline_cpu_seconds=None, passed_on={})
    assert sandbox.run(job).exit_code == 1
    assert paths.log.read_text() == "no-such-program cannot be started: No such file or directory\n"


def test_a_relative_target_needs_the_copy(tmp_path: Path) -> None:
    config = CONFIG.replace("writable_copy = true\n", "").format(
        mounts='mounts = [{ source = "/srv/x", target = "data" }]'
    )
    with pytest.raises(Exception, match="'data' is relative, which needs writable_copy = true"):
        Task(tmp_path, {"task.toml": config.encode(), "train.py": b"", "sub/a.txt": b""})


def test_the_copy_is_deep_enough_for_what_lies_above(tmp_path: Path) -> None:
    mounts = 'mounts = [{ source = "/srv/x", target = "../../data" }]'
    config = CONFIG.format(mounts=mounts)
    found = Task(tmp_path, {"task.toml": config.encode(), "train.py": b"", "sub/a.txt": b""})
    assert folder_of(found) == "/tmp/work/above/above/task"
