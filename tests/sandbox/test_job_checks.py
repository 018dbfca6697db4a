"""What is refused of a job before anything starts: names of variables, and mounts over what starts the job."""

from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.job import Job, Limits, Mount
from sandbox.job_checks import validate_job


def a_job(*mounts: Mount, **environment: str) -> Job:
    return Job(("true",), "RUN/1/x", Limits(1.0, 0.1), Path("log"), mounts=mounts, environment=environment)


COVERING = (
    *("/", "//", "/.", "/etc", "/etc/ld.so.preload", "//etc/ld.so.cache", "/./etc/x", "/usr", "/usr/lib/x", "/lib"),
    *(
        "/lib64/ld-linux-x86-64.so.2",
        "/./lib64",
        "/lib32",
        "/libx32/x",
        "/bin/sh",
        "/sbin",
        "/proc/sys",
        "/dev",
        "/sys",
    ),
)


@pytest.mark.parametrize("target", COVERING)
def test_no_mount_covers_what_starts_the_job(tmp_path: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="choose another"):
        validate_job(a_job(Mount(tmp_path, target)))


@pytest.mark.parametrize("target", ["task", "", "/tmp/../etc", "/.."])
def test_a_target_that_is_no_plain_absolute_path_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="absolute path without"):
        validate_job(a_job(Mount(tmp_path, target)))


@pytest.mark.parametrize("target", ["/data", "/tmp/data", "/home/me/usr/lib", "/library", "/etcetera", "/opt/etc"])
def test_other_targets_are_taken(tmp_path: Path, target: str) -> None:
    if target == "/library":
        with pytest.raises(SandboxError):  # every name that begins with lib: of which loaders know too many
            validate_job(a_job(Mount(tmp_path, target)))
    else:
        validate_job(a_job(Mount(tmp_path, target)))


def test_no_mount_goes_through_a_link_within_another(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "link").symlink_to("../../etc")
    within = Mount(tmp_path, "/a"), Mount(tmp_path / "inner", "/a/inner/link/ld.so.preload")
    with pytest.raises(SandboxError, match=r"symbolic link .*/inner/link"):
        validate_job(a_job(*within))
    validate_job(a_job(Mount(tmp_path, "/a"), Mount(tmp_path / "inner", "/a/inner/other")))


@pytest.mark.parametrize(
    "name", ["PWD", "_", "UID", "IFS", "RANDOM", "A=B", "", "my.var", "1X", "É", "X\nY", "a b", "X;id"]
)
def test_a_variable_that_a_shell_would_not_pass_on_as_it_is_is_refused(name: str) -> None:
    with pytest.raises(SandboxError, match=r"cannot be given to a job; rename it"):
        validate_job(a_job(**{name: "1"}))


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "lower", "_X1", "PATH", "go", "line"])
def test_variables_that_steer_loaders_are_set_behind_the_gate_and_not_refused(name: str) -> None:
    validate_job(a_job(**{name: "1"}))
