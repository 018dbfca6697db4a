"""The options of `agent run` and `agent compare`, each defined once, with its unit, its default and its group.

An option whose name is a field of RunConfig becomes that field, unless `configuration` says otherwise.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from agent.cli.options import (
    DEFAULT_RUNS,
    NAMES_OF_TRACKERS,
    Force,
    Gpus,
    Json,
    Profile,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
)
from agent.cli.search_options.panels import BUDGET, MODEL, OUTPUT, PROGRESS, SEARCH, TASK, one_of, option
from agent.cli.trust import Trusted
from agent.execution.sandboxes import DEFAULT_SANDBOX
from agent.modes.registry import mode_names
from agent.report.trackers.kinds import TRACKERS


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What `agent run` and `agent compare` have in common."""

    task: TaskFolder = None
    profile: Profile = None
    trust: Trusted = False
    derived: Annotated[
        bool, option(SEARCH, "Search through the coordinates that the task derives.", "--derived/--no-derived")
    ] = True
    llm_share: Annotated[float, option(SEARCH, "centaur: share of the trials that the model decides.", metavar="X")] = (
        0.3
    )
    llm_warmup: Annotated[
        int, option(SEARCH, "centaur: trials before the first that the model decides.", metavar="N")
    ] = 10
    trials: Annotated[int | None, option(BUDGET, "Trials of a run, the baseline included.", metavar="N")] = None
    budget: Annotated[
        str | None,
        option(BUDGET, "Training time of a run, as charged to trials: 90s, 30m, 24h or 2d.", metavar="24h"),
    ] = None
    wall: Annotated[
        str | None, option(BUDGET, "Time of a run by the clock, all that it does included.", metavar="8h")
    ] = None
    max_cost: Annotated[
        float | None, option(BUDGET, "Most dollars that the model calls of a run may cost.", metavar="USD")
    ] = None
    max_tokens: Annotated[int | None, option(BUDGET, "Most tokens of prompts and replies of a run.", metavar="N")] = (
        None
    )
    model: Annotated[
        str | None,
        option(
            MODEL,
            "Name of the model, or replay:FILE for recorded replies; the embedded model if not given.",
            metavar="M",
            envvar="OPENAI_MODEL",
        ),
    ] = None
    base_url: Annotated[
        str | None,
        option(MODEL, "Address of an OpenAI-compatible endpoint.", metavar="URL", envvar="OPENAI_BASE_URL"),
    ] = None
    context_tokens: Annotated[
        int, option(MODEL, "Tokens that a prompt and its reply may have together.", metavar="N")
    ] = 32_768
    price: Annotated[
        str | None,
        option(
            MODEL,
            "Dollars per million tokens of prompts and of replies; from a table if not given.",
            metavar="IN,OUT",
        ),
    ] = None
    sandbox: SandboxKind = DEFAULT_SANDBOX
    accept_unenforced: Weaker = field(default_factory=list)
    gpus: Gpus = None
    keep: Annotated[
        str | None,
        option(
            PROGRESS,
            "two-tier: a fresh run decides about a gain; any: nothing does; the task's rule if not given.",
            metavar="RULE",
            autocompletion=lambda: ["two-tier", "any"],
        ),
    ] = None
    confirm: Annotated[
        bool,
        option(
            PROGRESS,
            "Confirm gains on text that no job has seen, if the task has a pool of it.",
            "--confirm/--no-confirm",
        ),
    ] = True
    prune: Annotated[
        bool,
        option(PROGRESS, "Stop trials that diverge, or fall hopelessly behind half-way.", "--prune/--no-prune"),
    ] = True
    final_runs: Annotated[
        int | None,
        option(
            PROGRESS,
            "Runs of the result under held-out seeds; if not given, 3 in a run of 20 trials or more.",
            metavar="N",
        ),
    ] = None
    runs: Runs = DEFAULT_RUNS
    json_: Json = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(SearchOptions):
    """What `agent run` takes."""

    mode: Annotated[
        str,
        option(SEARCH, f"Who proposes: {one_of(mode_names())}.", metavar="MODE", autocompletion=mode_names),
    ] = "centaur"
    seed: Annotated[int, option(SEARCH, "Seed of the search.", metavar="S")] = 0
    from_: Annotated[
        str | None, option(TASK, "Begin with the script of a trial as the baseline.", "--from", metavar="RUN/7")
    ] = None
    hints: Annotated[bool, option(SEARCH, "Begin at the values that the task hints at.", "--hints/--no-hints")] = False
    llm_every: Annotated[
        int | None, option(SEARCH, "centaur: the model decides every k-th trial, not a share.", metavar="K")
    ] = None
    edit_format: Annotated[
        str | None,
        option(
            SEARCH,
            "code-edit: search-replace, diff, whole-file or lines; what suits the model if not given.",
            metavar="F",
            autocompletion=lambda: ["search-replace", "diff", "whole-file", "lines"],
        ),
    ] = None
    attempts: Annotated[int, option(SEARCH, "code-edit: replies of the model for one proposal.", metavar="N")] = 3
    lookahead: Annotated[
        int, option(SEARCH, "code-edit: trials to think of while another one trains.", metavar="0|1")
    ] = 0
    smoke: Annotated[bool, option(SEARCH, "code-edit: rehearse one step of each edit first.", "--smoke/--no-smoke")] = (
        True
    )
    smoke_on: Annotated[
        str,
        option(
            SEARCH,
            "code-edit: where to rehearse; gpu waits for the trial there.",
            metavar="cpu|gpu",
            autocompletion=lambda: ["cpu", "gpu"],
        ),
    ] = "cpu"
    record: Annotated[
        Path | None, option(MODEL, "Write the model's replies to a file, for --model replay:FILE.", metavar="FILE")
    ] = None
    name: Annotated[
        str | None, option(OUTPUT, "Name of the run; its date, mode and seed if not given.", metavar="RUN")
    ] = None
    track: Annotated[
        list[str],
        option(
            OUTPUT,
            f"Mirror the run to {NAMES_OF_TRACKERS}.",
            metavar="TRACKER",
            autocompletion=lambda: list(TRACKERS),
        ),
    ] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CompareOptions(SearchOptions):
    """What `agent compare` takes."""

    modes: Annotated[
        str | None, option(SEARCH, f"Modes to compare: any of {', '.join(mode_names())}.", metavar="A,B")
    ] = None
    seeds: Annotated[int, option(SEARCH, "Seeds of the search for each mode, from 0 on.", metavar="N", min=1)] = 5
    name: Annotated[
        str | None, option(OUTPUT, "Name of the comparison; its runs are CMP-MODE-sSEED.", metavar="CMP")
    ] = None
    resume: Annotated[str | None, option(OUTPUT, "Comparison to resume; its budgets may be raised.", metavar="CMP")] = (
        None
    )
    minus: Annotated[
        str | None, option(OUTPUT, "Mode that the others are compared with; the first if not given.", metavar="MODE")
    ] = None
    report: Annotated[
        Path | None, option(OUTPUT, "Write a page about all the runs to a file as well.", metavar="FILE")
    ] = None
    png: Annotated[
        Path | None, option(OUTPUT, "Write the page's first chart to a file as a picture as well.", metavar="FILE")
    ] = None
    force: Force = False
