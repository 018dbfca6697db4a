"""The commands for clients of a run of mode `submitted`: brief, submit, wait, budget and notes."""

import json
import os
import stat
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    Json,
    RunName,
    Runs,
    cache_folder,
    host_of,
    print_json,
    stored_run,
    where,
)
from agent.cli.trust import Trusted, agree_to_run
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.server.client_run import ClientRun
    from agent.server.documents import Verdict
    from agent.server.sources import ScriptSource

app = typer.Typer()

_REQUIRED = ("kept", "confirmed")
REFUSED = "refused"  # a verdict


@app.command()
def submit(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run of mode submitted.")],
    *,
    script: Annotated[Path | None, typer.Option(metavar="FILE", help="The whole script.")] = None,
    patch: Annotated[Path | None, typer.Option(metavar="FILE", help="A diff of the incumbent's script.")] = None,
    commit: Annotated[
        str | None, typer.Option(metavar="REPO@REV", help="The script in a commit of any repository.")
    ] = None,
    values: Annotated[
        str | None, typer.Option(metavar="JSON", help="Values of the space, such as '{\"DEPTH\": 4}'.")
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="One line: what is changed, and why.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the verdict.")] = False,
    require: Annotated[
        str | None,
        typer.Option(metavar="kept|confirmed", help="With --wait: exit with 1 if the verdict is worse."),
    ] = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Submit a change to a run.

    It becomes a trial, which a process in the background runs; or it is refused, at the cost of no trial.

    Exit codes: 0 queued or, with --wait, judged; 1 refused, or worse than --require; 3 the budget is spent.
    """
    given = [option for option in (script, patch, commit, values) if option is not None]
    if len(given) != 1:
        raise UsageError("give one of --script, --patch, --commit and --values")
    if require is not None and (require not in _REQUIRED or not wait):
        raise UsageError(f"--require {require}: give kept or confirmed, together with --wait")
    client = client_of(runs, run_name, trusted=trust)
    source = _source(client, script, patch, commit)
    record = client.record(source.name, source.ignored) if source is not None else client.record("values")
    receipt = client.submit(
        record, title, script=source.script if source else None, values=None if values is None else _values(values)
    )
    if receipt.submission is None or not wait:
        if json_:
            print_json(asdict(receipt))
        else:
            print("\n".join(_lines(client, receipt.submission, receipt.reason, receipt.ignored)))
        if receipt.submission is None:
            raise typer.Exit(1)
        return
    if not json_:
        print("\n".join(_lines(client, receipt.submission, receipt.reason, receipt.ignored)), flush=True)
    verdict = _until_final(client, receipt.submission)
    _show(verdict, client, json_)
    if verdict.verdict == REFUSED or (require is not None and not verdict.reaches(require)):
        raise typer.Exit(1)


@app.command()
def wait(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run of mode submitted.")],
    submission: Annotated[str, typer.Argument(metavar="ID", help="As `agent submit` prints it.")],
    *,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Wait at most this long; without limit if not given.")
    ] = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Wait for the verdict on a submission.

    Exit codes: 0 judged, or not yet after --seconds; 1 refused; 3 the budget was spent before it could run.
    """
    client = client_of(runs, run_name, trusted=trust)
    verdict = _until_final(client, submission) if seconds is None else client.wait(submission, seconds)
    _show(verdict, client, json_)
    if verdict.verdict == REFUSED:
        raise typer.Exit(1)


@app.command()
def brief(run_name: RunName = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Show what to improve, and where to start.

    Prints the goal, the rules, the script to start from, and the remaining budget.
    """
    from agent.text import inert

    document = client_of(runs, run_name, trusted=None).brief()
    if json_:
        print_json(asdict(document))
        return
    parent = "the baseline, which has not finished" if document.incumbent is None else f"trial {document.incumbent}"
    print(f"run {document.run}: {document.goal} by changing {document.script}, from {parent}")
    print(f"a trial may use {document.limits}; left: {document.budget_left}")
    print("\n".join(f"- {rule}" for rule in document.rules))
    if document.space is not None:
        print(f"values may be submitted of {', '.join(document.space)}; --json has their ranges")
    messages = ((f"message {n}", text) for n, text in enumerate(document.messages, 1))
    for name, text in (("notes", document.notes), *messages):
        if text:
            print(f"{name}: {inert(text)}")
    if document.latest:
        print("\n".join(["the latest trials:", *map(inert, document.latest)]))
    if document.stretch:
        print("\n".join([document.stretch, "tried without a gain:", *map(inert, document.tried_since)]))
    print(f"----- {document.script} -----\n{inert(document.source)}", end="")


@app.command()
def budget(run_name: RunName = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Show a run's remaining budget."""
    document = client_of(runs, run_name, trusted=None).budget()
    if json_:
        print_json(asdict(document))
        return
    print(f"left of run {document.run}: {document.left}")


@app.command()
def notes(run_name: RunName = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Show the notes of the task and the messages to a run.

    The notes are notes.md in the task's folder; the messages are the last 20 of `agent say`.
    """
    from agent.text import inert

    document = client_of(runs, run_name, trusted=None).notes()
    if json_:
        print_json(asdict(document))
        return
    messages = [f"before trial {each['number']}, {each['at']}: {each['text']}" for each in document.messages]
    print(inert("\n".join([document.notes, *messages]).strip()) or f"run {document.run} has no notes and no messages")


def client_of(runs: Path, name: str | None, *, trusted: bool | None) -> "ClientRun":
    """Return a run for its client.

    Args:
        trusted: the value of --trust; None: the command runs nothing of the task.

    Raises:
        UsageError: there is no such run, it takes no submissions, or its task has changed or is not trusted.
    """
    from agent.run.resume import refuse_another_task
    from agent.server.client_run import ClientRun
    from agent.server.client_trust import is_trusted
    from agent.store.stored_run import load_task

    stored = stored_run(runs, name)
    if trusted is not None:
        agree_to_run(stored, None, trusted=trusted)
    folder = Path(stored.config.task_folder)
    if stored.config.of_trial is None and not (folder / "task.toml").exists():
        raise UsageError(f"the task of {stored.run_id} is no longer in {folder}; put it back there")
    task = load_task(stored.config, stored.runs)
    refuse_another_task(stored.config, task, stored.repo)
    trusts = is_trusted(client_uid(), [stored.runs.root, cache_folder(), task.folder])
    return ClientRun.of(stored, task, host_of(lambda _line: None), is_client_trusted=trusts)


def client_uid() -> int:
    """Return the user id of the client: the owner of this process's standard input.

    A client that runs as another user, and starts this process with sudo, made the pipe or owns the terminal.
    """
    try:
        found = os.fstat(0)
    except OSError:
        return os.getuid()
    is_the_clients = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode) or os.isatty(0)
    return found.st_uid if is_the_clients else os.getuid()


def _source(client: "ClientRun", script: Path | None, patch: Path | None, commit: str | None) -> "ScriptSource | None":
    from agent.server import sources

    if script is not None:
        return sources.script_in_file(script)
    if patch is not None:
        return sources.script_of_patch(patch, client.source(), client.task.script)
    return sources.script_of_commit(commit, client.task) if commit is not None else None


def _values(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"--values {text[:80]!r}: not JSON ({fault}); write '{{\"NAME\": value}}'") from None
    if not isinstance(values, dict):
        raise UsageError(f"--values {text[:80]!r}: not a JSON object; write '{{\"NAME\": value}}'")
    return values


def _until_final(client: "ClientRun", submission: str) -> "Verdict":
    verdict = client.wait(submission)
    while not verdict.is_final:
        verdict = client.wait(submission)
    return verdict


def _lines(client: "ClientRun", submission: str | None, reason: str, ignored: tuple[str, ...]) -> list[str]:
    from agent.text import inert

    taken = [f"not taken, because only {client.task.script} may change: {inert(', '.join(ignored))}"] if ignored else []
    if submission is None:
        return [*taken, f"refused, at the cost of no trial: {inert(reason)}"]
    command = f"agent wait {client.run_id} {submission}{where(client.runs)}"
    held = [f"it does not run yet: {inert(reason)}"] if reason else []
    return [*taken, f"submission {submission} is queued; `{command}` waits for its verdict", *held]


def _show(verdict: "Verdict", client: "ClientRun", json_: bool) -> None:
    from agent.text import inert

    if json_:
        print_json(asdict(verdict))
        return
    name = client.task.metric.name
    value = f", {name} {verdict.value:.5g}" if verdict.value is not None else ""
    best = (
        f" (incumbent: trial {verdict.incumbent}, {verdict.incumbent_value:.5g})"
        if verdict.incumbent_value is not None
        else ""
    )
    trust = "; client trusted" if verdict.client_trusted and verdict.trial is not None else ""
    trial = f"trial {verdict.trial}: " if verdict.trial is not None else ""
    cost = ", at the cost of no trial" if verdict.state == REFUSED else ""
    print(inert(f"{trial}{verdict.verdict or verdict.state}{cost}{value}{best}{trust}"))
    for line in (verdict.reason, verdict.log):
        if line:
            print(inert(line))
    if not verdict.is_final:
        print(f"no verdict yet: agent wait {client.run_id} {verdict.submission}{where(client.runs)}", file=sys.stderr)
