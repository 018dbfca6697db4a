"""The command `agent mcp`: the MCP server of one run of mode `submitted`, on standard input and output.

Its options are those of `agent run`. A person writes them into the client's settings, and no tool changes them.
"""

import os
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agent.cli.clients.submit import client_of, client_uid
from agent.cli.options import cache_folder, given, host_of, runs_folder, start_of
from agent.cli.run import checked_start
from agent.cli.search_options.configuration import caps_in, configured
from agent.cli.search_options.definitions import RunOptions
from agent.cli.search_options.panels import GroupedCommand, with_options
from agent.errors import UsageError
from agent.extras import require_extra

if TYPE_CHECKING:
    from agent.server.client_run import ClientRun
    from agent.store.stored_run import StoredRun

app = typer.Typer()

MODE = "submitted"


@app.command("mcp", cls=GroupedCommand)
@with_options(RunOptions, without=("mode", "json_", "on_end", "on_confirmed"))
def serve_mcp(ctx: typer.Context, options: RunOptions) -> None:
    """Serve a run to a coding agent (MCP).

    The agent submits changes as trials of the run --name, which starts when the agent first asks. The options are
    those of `agent run --mode submitted`, and that mode is set. Needs autocentaur[mcp].
    """
    name = served_run(ctx)
    require_extra("mcp", "agent mcp")
    client = _client(ctx, replace(options, mode=MODE), name)
    from agent.server.mcp_server import serve

    if sys.stdin.isatty():
        print(f"serving run {client.run_id}: a coding agent starts this command; see `agent connect`", file=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit_at_once)
    serve(client)


def _exit_at_once(_number: int, _frame: object) -> None:
    """End the process: nothing needs cleaning up, and an exception in a task of the event loop would be printed."""
    os._exit(130)


def served_run(ctx: typer.Context) -> str:
    """Return the name of the run to serve. Raises UsageError if none is named."""
    name = given(ctx).get("name")
    if name is None:
        raise UsageError("agent mcp serves one run; name it with --name RUN")
    return str(name)


def _client(ctx: typer.Context, options: RunOptions, name: str) -> "ClientRun":
    """Return the run that is served, which need not exist yet."""
    from agent.server.client_run import ClientRun
    from agent.server.client_trust import is_trusted
    from agent.server.runner import Runner
    from agent.store.run_config import budget_of
    from agent.store.stored_run import StoredRun

    runs = runs_folder(options.runs)
    if runs.run(name).run_json.exists():
        _refuse_contradictions(ctx, options, StoredRun.find(runs, name))
        return client_of(options.runs, name, trusted=options.trust)
    config, task = checked_start(ctx, options)
    runs.prepare()
    host = host_of(lambda line: print(line, file=sys.stderr))
    start = ("run", "--mode", MODE, *sys.argv[2:])
    trusts = is_trusted(client_uid(), [runs.root, cache_folder(), task.folder])
    runner = Runner(runs.run(name), start, host.variables)
    return ClientRun(runs, name, task, host, runner, budget_of(config), trusts)


def _refuse_contradictions(ctx: typer.Context, options: RunOptions, stored: "StoredRun") -> None:
    """Raise UsageError for an option that differs from what the run has: as it began, or with the caps raised since."""
    from agent.modes.registry import refuse_unused_options
    from agent.run.resume import refuse_another_task, refuse_changes
    from agent.store.stored_run import load_task

    written, config = given(ctx), stored.config
    refuse_unused_options([MODE], written)
    if {"task", "profile", "from_"} & written.keys():
        folder, task = start_of(options.task, options.profile, options.runs, options.from_, option="--from")
        refuse_another_task(config, task, stored.repo)
    else:
        folder, task = Path(config.task_folder), load_task(config, stored.runs)
    wanted = configured(options, folder, task, run_id=stored.run_id, mode=MODE, needs_model=False)
    caps = {name: cap for name, cap in caps_in(options).items() if cap not in (None, getattr(config, name))}
    names = written.keys() & {spec.name for spec in fields(wanted)} - caps_in(options).keys() - {"profile"}
    now = stored.config_now
    refuse_changes(now, {**{name: getattr(wanted, name) for name in sorted(names)}, **caps})
