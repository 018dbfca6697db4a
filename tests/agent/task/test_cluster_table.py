"""[cluster] of task.toml: no line of it may bring another option along, or undo ours."""

import pytest
from pydantic import ValidationError

from agent.task.cluster_table import ClusterSpec


@pytest.mark.parametrize(
    "option", ["--qos=high", "--nice", "--nodelist=n[1-4],gpu-2", "--licenses=a@b:2", "--exclusive"]
)
def test_what_decides_where_and_when_a_job_waits_is_allowed(option: str) -> None:
    assert ClusterSpec(sbatch=(option,)).sbatch == (option,)


@pytest.mark.parametrize(
    "option",
    [
        "--requeue",
        "--export=ALL",
        "--job-name=x",
        "--array=1-9",
        "--wrap=id",
        "--qos=high --requeue",
        "--qos=high\n--requeue",
        "--qos=a\n",
        "--qos high",
        "-p main",
        "#SBATCH --qos=high",
        "--qos=$(id)",
        "qos=high",
        "--get-user-env",
        "--output=/etc/passwd",
    ],
)
def test_everything_else_is_refused_with_what_is_allowed(option: str) -> None:
    with pytest.raises(ValidationError, match="'--qos=high', of begin"):
        ClusterSpec(sbatch=(option,))


@pytest.mark.parametrize(
    "values",
    [{"partition": "a b"}, {"partition": "a\n"}, {"account": "--x y"}, {"constraint": "a;b"}, {"gpus": 2}, {"gpus": -1},
     {"nodes": 2}],
)  # fmt: skip
def test_values_that_no_cluster_has_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClusterSpec(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"resources": {"CPU": 2}}, r"'CPU' is set otherwise"),
        ({"resources": {"memory": 1}}, r"'memory' is set otherwise"),
        ({"resources": {" ": 1}}, "is set otherwise"),
        ({"resources": {"a100": 0}}, "greater than 0"),
        ({"shared": ["data"]}, "absolute path"),
        ({"shared": ["/data/../etc"]}, "absolute path"),
    ],
)
def test_what_ray_cannot_give_or_share_is_refused(table: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ClusterSpec.model_validate(table)


def test_resources_and_shared_folders_of_ray() -> None:
    spec = ClusterSpec.model_validate({"resources": {"a100": 0.5}, "shared": ["/data"]})
    assert (spec.resources, spec.shared) == ({"a100": 0.5}, ("/data",))
