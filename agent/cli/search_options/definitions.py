"""The options of `agent run` and `agent compare`, each defined once, with its unit, its default and its group.

An option sets the field of RunConfig that has its name, unless `configuration` computes that field.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from agent.agents.kinds import AGENTS
from agent.cli.notifications.chosen import OnConfirmed, OnEnd
from agent.cli.options import (
    DEFAULT_RUNS,
    NAMES_OF_TRACKERS,
    Force,
    Gpus,
    Json,
    Profile,
    Queue,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
    Workers,
)
from agent.cli.search_options.panels import BUDGET, MODEL, OUTPUT, PROGRESS, SANDBOX, SEARCH, TASK, one_of, option
from agent.cli.trust import Trusted
from agent.execution.placement.places import HERE, PLACES
from agent.execution.sandboxes import DEFAULT_SANDBOX
from agent.modes.registry import mode_names, proposing_modes
from agent.modes.searchers import host_names
from agent.report.trackers.kinds import TRACKERS


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options that `agent run` and `agent compare` share."""

    task: TaskFolder = None
    profile: Profile = None
    trust: Trusted = False
    derived: Annotated[
        bool, option(SEARCH, "Search the derived coordinates of the task.", "--derived/--no-derived")
    ] = True
    host: Annotated[
        str,
        option(
            SEARCH,
            f"centaur: the searcher that proposes every point: {one_of(host_names())}.",
            metavar="SEARCHER",
            autocompletion=host_names,
        ),
    ] = "cma-es"
    llm_share: Annotated[float, option(SEARCH, "centaur: the model's largest share of the trials.", metavar="X")] = 0.3
    llm_warmup: Annotated[int, option(SEARCH, "centaur: trials at the start without the model.", metavar="N")] = 10
    trials: Annotated[int | None, option(BUDGET, "Trials of a run, baseline included.", metavar="N")] = None
    budget: Annotated[
        str | None,
        option(BUDGET, "Training budget of a run: 90s, 30m, 24h or 2d.", metavar="24h"),
    ] = None
    wall: Annotated[str | None, option(BUDGET, "Wall time of a run.", metavar="8h")] = None
    max_cost: Annotated[
        float | None, option(BUDGET, "Limit on the cost of a run's model calls, in dollars.", metavar="USD")
    ] = None
    max_tokens: Annotated[
        int | None, option(BUDGET, "Limit on the tokens of a run's prompts and replies.", metavar="N")
    ] = None
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
    context_tokens: Annotated[int, option(MODEL, "Limit on the tokens of a prompt plus its reply.", metavar="N")] = (
        32_768
    )
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
    on: Annotated[
        str,
        option(
            SANDBOX,
            f"Where jobs run: {one_of(row.form for row in PLACES.values())}.",
            metavar="PLACE",
            autocompletion=lambda: list(PLACES),
        ),
    ] = HERE
    workers: Workers = None
    queue: Queue = None
    keep: Annotated[
        str | None,
        option(
            PROGRESS,
            "two-tier: a fresh run must confirm a gain; any: any lower loss counts; the task's rule if not given.",
            metavar="RULE",
            autocompletion=lambda: ["two-tier", "any"],
        ),
    ] = None
    confirm: Annotated[
        bool,
        option(
            PROGRESS,
            "Confirm gains on data that no job has seen, if the task has any.",
            "--confirm/--no-confirm",
        ),
    ] = True
    prune: Annotated[
        bool,
        option(PROGRESS, "Stop trials that diverge or are hopelessly behind half-way.", "--prune/--no-prune"),
    ] = True
    accept_metric_edits: Annotated[
        bool,
        option(
            PROGRESS,
            "Self-reported scores: also keep edits of the code that prints the metric.",
            "--accept-metric-edits",
        ),
    ] = False
    final_runs: Annotated[
        int | None,
        option(
            PROGRESS,
            "Final runs of the result under held-out seeds; if not given, 3 in a run of 20 trials or more.",
            metavar="N",
        ),
    ] = None
    on_end: OnEnd = None
    on_confirmed: OnConfirmed = None
    runs: Runs = DEFAULT_RUNS
    json_: Json = False

    @property
    def has_budget(self) -> bool:
        """Whether trials, training budget or wall time are limited."""
        return self.trials is not None or self.budget is not None or self.wall is not None


@dataclass(frozen=True, kw_only=True)
class RunOptions(SearchOptions):
    """The options of `agent run`."""

    mode: Annotated[
        str,
        option(SEARCH, f"Who proposes: {one_of(mode_names())}.", metavar="MODE", autocompletion=mode_names),
    ] = "centaur"
    seed: Annotated[int, option(SEARCH, "Seed of the search.", metavar="S")] = 0
    from_: Annotated[
        str | None, option(TASK, "Start with the script of this trial as the baseline.", "--from", metavar="RUN/7")
    ] = None
    hints: Annotated[bool, option(SEARCH, "Start at the values of the task's [hints].", "--hints/--no-hints")] = False
    llm_every: Annotated[
        int | None, option(SEARCH, "centaur: the model has every K-th trial, not a share.", metavar="K")
    ] = None
    edit_format: Annotated[
        str | None,
        option(
            SEARCH,
            "code-edit, centaur-code: search-replace, diff, whole-file or lines; chosen for the model if not given.",
            metavar="F",
            autocompletion=lambda: ["search-replace", "diff", "whole-file", "lines"],
        ),
    ] = None
    agent: Annotated[
        str | None,
        option(
            SEARCH,
            f"code-edit, centaur-code: a coding agent instead of a model: {one_of(AGENTS)}, or 'CMD {{prompt}} …'.",
            metavar="NAME",
            autocompletion=lambda: list(AGENTS),
        ),
    ] = None
    agent_login: Annotated[
        bool,
        option(SEARCH, "With --agent: use its subscription log-in, unmetered and readable to it.", "--agent-login"),
    ] = False
    agent_time: Annotated[str, option(BUDGET, "With --agent: wall time limit of one proposal.", metavar="15m")] = "15m"
    agent_calls: Annotated[int, option(BUDGET, "With --agent: limit of model calls for one proposal.", metavar="N")] = (
        100
    )
    attempts: Annotated[
        int, option(SEARCH, "code-edit, centaur-code: most replies of the model per proposal.", metavar="N")
    ] = 3
    smoke: Annotated[
        bool, option(SEARCH, "code-edit, centaur-code: train each edit for one step first.", "--smoke/--no-smoke")
    ] = True
    smoke_on: Annotated[
        str,
        option(
            SEARCH,
            "code-edit, centaur-code: where to run that step; gpu waits for a trial that uses it.",
            metavar="cpu|gpu",
            autocompletion=lambda: ["cpu", "gpu"],
        ),
    ] = "cpu"
    record: Annotated[
        Path | None, option(MODEL, "Save the model's replies to a file, for --model replay:FILE.", metavar="FILE")
    ] = None
    approve: Annotated[
        bool,
        option(SEARCH, "Each proposal waits until `agent approve` or `agent refuse` decides about it.", "--approve"),
    ] = False
    approve_within: Annotated[
        str | None, option(SEARCH, "With --approve: refuse what nobody has approved within this time.", metavar="30m")
    ] = None
    name: Annotated[
        str | None, option(OUTPUT, "Name of the run; its date, mode and seed if not given.", metavar="RUN")
    ] = None
    track: Annotated[
        list[str],
        option(
            OUTPUT,
            f"Log the run to {NAMES_OF_TRACKERS}.",
            metavar="TRACKER",
            autocompletion=lambda: list(TRACKERS),
        ),
    ] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CompareOptions(SearchOptions):
    """The options of `agent compare`."""

    modes: Annotated[
        str | None, option(SEARCH, f"Modes to compare: any of {', '.join(proposing_modes())}.", metavar="A,B")
    ] = None
    seeds: Annotated[int, option(SEARCH, "Search seeds per mode: 0 to N - 1.", metavar="N", min=1)] = 5
    name: Annotated[
        str | None, option(OUTPUT, "Name of the comparison; its runs are CMP-MODE-sSEED.", metavar="CMP")
    ] = None
    resume: Annotated[str | None, option(OUTPUT, "Comparison to resume; its budgets may be raised.", metavar="CMP")] = (
        None
    )
    minus: Annotated[str | None, option(OUTPUT, "Reference mode; the first if not given.", metavar="MODE")] = None
    report: Annotated[Path | None, option(OUTPUT, "Also write an HTML page about all the runs.", metavar="FILE")] = None
    png: Annotated[Path | None, option(OUTPUT, "Also write the page's first chart as a picture.", metavar="FILE")] = (
        None
    )
    force: Force = False
