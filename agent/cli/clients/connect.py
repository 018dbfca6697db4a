"""`agent connect`: settings with which a coding agent starts our MCP server; `agent skill`: instructions for it."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.agents.kinds import AGENTS, CodingAgent
from agent.cli.clients.serve import served_run
from agent.cli.options import runs_folder, start_of
from agent.cli.search_options.panels import one_of
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.agents.installation import Change
    from agent.agents.settings import SettingsFile

app = typer.Typer()

VARIABLES = (
    *("AUTOCENTAUR_CACHE", "AUTOCENTAUR_TRUST", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),  # for the limits of trials
    *("DOCKER_HOST", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"),
)
"""Variables that the server, or what it starts, reads."""


@app.command()
def connect(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="AGENT", help=f"{one_of(AGENTS)}.", autocompletion=lambda: list(AGENTS), show_default=False
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTIONS", help="Options of `agent mcp`, after --.")
    ] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the files; their other settings stay.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove from the files what --write added.")] = False,
) -> None:
    """Connect a coding agent to this program.

    Prints the settings with which the agent starts `agent mcp` in the current folder, and calls its tools without
    asking.
    """
    if name not in AGENTS:
        raise UsageError(f"there is no coding agent {name!r}; name {one_of(AGENTS)}")
    if write and undo:
        raise UsageError("--write and --undo exclude each other")
    agent = AGENTS[name]
    if undo:
        _undo(agent, _files(agent, ()))
        return
    files = _files(agent, _of_server(ctx, arguments or ()))
    if write:
        _write(agent, files)
    else:
        _show(agent, files, arguments or ())
    page = f"{agent.skills}/autocentaur"
    print(f"To give the agent instructions (a skill): mkdir -p {page} && agent skill > {page}/SKILL.md")


@app.command()
def skill() -> None:
    """Print instructions for a coding agent that uses this program.

    `agent connect` prints the file in which the agent looks for them.
    """
    from importlib.resources import files

    print(files("agent.server").joinpath("skill.md").read_text(encoding="utf-8"), end="")


def _of_server(ctx: typer.Context, arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments of `agent mcp` with absolute paths, so that they mean the same in every folder."""
    commands: dict[str, Any] = ctx.find_root().command.commands  # type: ignore[attr-defined]
    server = commands["mcp"].make_context("agent mcp", [*arguments])
    name = served_run(server)  # what the server would refuse is refused here
    chosen = {key: server.params[key] for key in ("task", "profile", "runs", "from_")}
    if not runs_folder(chosen["runs"]).run(name).run_json.exists():
        folder, _ = start_of(chosen["task"], chosen["profile"], chosen["runs"], chosen["from_"], option="--from")
        if chosen["task"] is None and chosen["from_"] is None:
            print(f"run {name} will be of the bundled task, {folder}; --task DIR, after --, names yours\n")
    return with_absolute_paths(commands["mcp"], arguments)


def _files(agent: CodingAgent, arguments: Sequence[str]) -> "Sequence[SettingsFile]":
    from agent.agents.connection import McpServer, SettingsFolders

    # -P: the folder in which the agent starts the server may hold a package of our name.
    server = McpServer((sys.executable, "-P", "-m", "agent", "mcp", *arguments), VARIABLES)
    return agent.configuration(server, SettingsFolders(Path.cwd(), agent.own_folder_in(os.environ)))


def with_absolute_paths(command: Any, words: Sequence[str]) -> list[str]:
    """Return the words of a command line with absolute paths; options with a path as their default are added.

    Args:
        command: the command, as typer defines it.

    Raises:
        TyperException: the command has no such option, or the option no such value.
    """
    found = [*words]
    context = command.make_context(command.name, [*words])
    for parameter in command.params:
        value = context.params.get(parameter.name)
        if isinstance(value, Path) and parameter.param_type_name == "option":
            found = _with_option(found, parameter.opts, str(value.absolute()))
    return found


def _with_option(words: list[str], names: Sequence[str], value: str) -> list[str]:
    for at, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if option in names:
            return [*words[:at], option, value, *words[at + (1 if equals else 2) :]]
    return [*words, names[0], value]


def _show(agent: CodingAgent, files: "Sequence[SettingsFile]", arguments: Sequence[str]) -> None:
    from agent.text import inert

    print(f"{agent.title} needs these settings, in the folder where you start it:")
    for file in files:
        print(inert(f"\n{file.path}\n\n{_indented(file.alone())}"))
    again = shlex.join(["agent", "connect", agent.name, "--write", *(["--", *arguments] if arguments else [])])
    print(inert(f"\n`{again}` adds them to these files."))


def _indented(text: str) -> str:
    return "".join(f"    {line}" for line in text.splitlines(keepends=True)).rstrip()


def _write(agent: CodingAgent, files: "Sequence[SettingsFile]") -> None:
    from agent.agents.installation import additions
    from agent.text import inert

    changes = additions(files)
    _apply(changes)
    if not changes:
        print("nothing to write: the files have these settings already")
    print(inert(f"Start {agent.title} in {Path.cwd()}. Undo: agent connect {agent.name} --undo"))


def _undo(agent: CodingAgent, files: "Sequence[SettingsFile]") -> None:
    from agent.agents.installation import removals

    changes = removals(files)
    _apply(changes)
    if not changes:
        print(f"nothing to undo: the settings of {agent.title} have nothing from this program")


def _apply(changes: "Sequence[Change]") -> None:
    from agent.agents.installation import apply
    from agent.text import inert

    for change in changes:
        apply(change)
        kept = f"; the earlier text is in {change.backup}" if change.keeps_before else ""
        print(inert(f"{'wrote' if change.after else 'removed'} {change.path}{kept}"))
