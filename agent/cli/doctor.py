"""The commands about this machine: the data of a task, and what can run here."""

import os
import sys

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    Json,
    Profile,
    Runs,
    TaskFolder,
    cache_folder,
    load_task,
    print_json,
    runs_folder,
    task_folder,
)
from agent.errors import UsageError

app = typer.Typer()


@app.command()
def prepare(*, task: TaskFolder = None, profile: Profile = None) -> None:
    """Prepare the data of a task now, e.g. before going offline; `agent run` does it when it must."""
    from agent.task.corpus import prepare_corpus

    checked = load_task(task_folder(task), profile)
    if not checked.data.prepare:
        raise UsageError(f"{checked.folder}/task.toml has no [data] prepare: there is nothing to prepare")
    corpus = prepare_corpus(checked, cache_folder())
    print(f"{checked.name}: {corpus.sequences('val').shape[0]} validation sequences in {corpus.folder}")


@app.command()
def doctor(*, task: TaskFolder = None, profile: Profile = None, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Check what this machine can do, and say what to do about the rest."""
    from agent.cli.doctor_checks import Endpoint, examine, rendered

    endpoint = Endpoint(
        os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL"), os.environ.get("OPENAI_API_KEY")
    )
    findings = examine(task_folder(task), profile, cache_folder(), runs_folder(runs), endpoint)
    if json_:
        print_json([finding.to_json() for finding in findings])
    else:
        print(rendered(findings, sys.stdout.isatty()))
    if any(finding.verdict == "missing" for finding in findings):
        raise typer.Exit(4)
