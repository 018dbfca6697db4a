"""The table [cluster] of task.toml: what a trial needs on a cluster."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

SBATCH_OPTIONS = (
    *("begin", "comment", "deadline", "exclude", "exclusive", "hint", "licenses", "nice", "nodelist", "prefer"),
    *("priority", "qos", "reservation", "switches", "wckey"),
)
"""Options of sbatch that a task may set: where and when a job waits, not what runs or how often."""
_OF_RAY = ("CPU", "GPU", "memory", "object_store_memory")  # resources of each node
_VALUE = r"[A-Za-z0-9_.,:@+*/\[\]-]+"
_OPTION = re.compile(rf"--({'|'.join(SBATCH_OPTIONS)})(={_VALUE})?", re.ASCII)


class ClusterSpec(BaseModel):
    """What a trial needs on a cluster (--on slurm, --on ray). Everything is optional; the other's keys are ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.,-]+$")  # default: the cluster's own
    account: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.@-]+$")  # that pays for the jobs
    gpus: int = Field(default=0, ge=0, le=1)  # of each training and scoring job
    constraint: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.,&|*()\[\]-]+$")  # features of the nodes
    sbatch: tuple[str, ...] = ()  # other options of sbatch, each as "--qos=high"
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}  # of each job, by names that Ray's nodes give them
    shared: tuple[str, ...] = ()  # folders that Ray's nodes see at the same path: their files are not sent

    @field_validator("resources")
    @classmethod
    def _own_names(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if name in _OF_RAY or not name.strip():
                raise ValueError(
                    f"{name!r} is set otherwise: processors and memory by [limits], GPUs by gpus of [cluster]"
                )
        return value

    @field_validator("shared")
    @classmethod
    def _absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"{path!r}: name an absolute path without '..'")
        return value

    @field_validator("sbatch")
    @classmethod
    def _allowed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for option in value:
            if _OPTION.fullmatch(option) is None:
                raise ValueError(
                    f"{option!r} is not an option that a task may set; write one as '--qos=high', of "
                    f"{', '.join(SBATCH_OPTIONS)}"
                )
        return value
