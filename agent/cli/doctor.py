"""The commands about this machine: prepare the data of a task, and check what can run here."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from agent.agents.kinds import AGENTS
from agent.cli.options import (
    DEFAULT_RUNS,
    Json,
    Profile,
    Runs,
    TaskFolder,
    cache_folder,
    load_task,
    model_key,
    print_json,
    runs_folder,
    shows_colour,
    task_folder,
)
from agent.cli.search_options.panels import one_of
from agent.cli.setup.settings import use_endpoint_of_user
from agent.cli.setup.settings_files import user_settings
from agent.cli.trust import Trusted, begin, recall
from agent.errors import AgentError, UsageError
from agent.execution.sandboxes import DEFAULT_SANDBOX
from agent.modes.registry import mode_named, mode_names
from agent.text import inert, plural

app = typer.Typer()


@app.command()
def prepare(
    *,
    task: TaskFolder = None,
    profile: Profile = None,
    pool: Annotated[
        bool, typer.Option("--pool/--no-pool", help="Also make the pool, text that no job sees, if the task has one.")
    ] = False,
    trust: Trusted = False,
) -> None:
    """Prepare the data of a task now.

    Useful before going offline; otherwise `agent run` prepares what is missing.
    """
    from agent.execution.environment import require_packages
    from agent.task.corpus import prepare_corpus
    from agent.task.unseen.pool import find_pool
    from agent.task.unseen.pool_making import prepare_pool

    checked = load_task(task_folder(task), profile)
    if not checked.data.prepare:
        raise UsageError(f"{checked.folder}/task.toml has no [data] prepare: there is nothing to prepare")
    require_packages(checked, DEFAULT_SANDBOX)
    begin(checked, None, Path(), trusted=trust)
    corpus = prepare_corpus(checked, cache_folder())
    print(f"{checked.name}: {corpus.sequences('val').shape[0]} validation sequences in {corpus.folder}")
    found = find_pool(checked, cache_folder())
    if found is None and pool:
        if checked.data.pool:
            print(f"{checked.name}: making the pool (once): {' '.join(checked.data.pool)}", flush=True)
        found = prepare_pool(checked, cache_folder())
        printed = inert(found.meta["said"])
        print(f"{checked.name}: the pool took {found.meta['seconds']:g} s; its command printed: {printed}")
    if found is not None:
        shape = f"{plural(found.n_slices, 'slice')} of {plural(found.n_sequences, 'sequence')}"
        contents = f"{shape} of {plural(found.meta['documents'], 'document')}, {plural(found.n_rounds, 'round')}"
        print(f"{checked.name}: pool of {contents}, in {found.folder}")
    elif checked.data.pool:
        print(f"{checked.name}: there is no pool yet; `agent prepare --pool` makes it")


@app.command()
def doctor(
    *,
    task: TaskFolder = None,
    profile: Profile = None,
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Check a coding agent too: {one_of(AGENTS)}, or 'CMD {{prompt}} …'. No model is called.",
            autocompletion=lambda: list(AGENTS),
        ),
    ] = None,
    agent_login: Annotated[
        bool, typer.Option("--agent-login", help="With --agent: check its subscription log-in in place of a key.")
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            help=f"Check what this mode needs: {one_of(mode_names())}. If not given, no model is needed.",
            autocompletion=mode_names,
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Check the nodes of a cluster too, with jobs there: slurm[:PARTITION] or ray[:HOST:PORT].",
        ),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Check what this machine can do.

    Prints a remedy for everything that is missing. What the chosen --mode needs is missing if it is not there; what
    only other modes need is noted.

    Exit codes: 0 nothing is missing, 4 something is.
    """
    from agent.cli.checks.cluster import examine_cluster
    from agent.cli.checks.coding_agents import examine_agent
    from agent.cli.checks.machine import examine, rendered
    from agent.cli.checks.models import Endpoint, examine_mode
    from agent.report.terminal import columns_of

    if agent_login and agent is None:
        raise UsageError("--agent-login is for a coding agent: add --agent NAME")
    chosen_mode = mode_named(mode) if mode is not None else None
    if agent is not None and chosen_mode is not None and "agent" not in chosen_mode.options:
        raise UsageError(f"--agent {agent}: mode {mode} asks no coding agent; leave out --mode, or --agent")
    use_endpoint_of_user()
    chosen = user_settings().get("model")
    named = os.environ.get("OPENAI_MODEL") or (chosen.value if chosen is not None else None)
    endpoint = Endpoint(os.environ.get("OPENAI_BASE_URL", "").strip() or None, named, model_key(), os.environ)
    with suppress(AgentError):  # `examine` reports a task that cannot be read
        recall(load_task(task_folder(task), profile))
    # A coding agent calls its own model, at its own endpoint.
    findings = examine(task_folder(task), profile, cache_folder(), runs_folder(runs))
    if on is not None:
        findings += examine_cluster(on, task_folder(task), profile, runs_folder(runs))
    if agent is not None:
        findings += examine_agent(agent, os.environ, login=agent_login)
    else:
        findings += examine_mode(chosen_mode, endpoint)
    if json_:
        print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        print(rendered(findings, shows_colour(sys.stdout), columns_of(sys.stdout)))
    if any(finding.verdict == "missing" for finding in findings):
        raise typer.Exit(4)
