"""Writes docs/options.md from the command line itself: `python -m tests.docs.options_page`, which `make docs` runs."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from agent.cli.main import app
from agent.cli.search_options.panels import FIRST, MOST_USED, OUTPUT, PANELS, GroupedCommand
from agent.errors import EXIT_CODES

PAGE = Path(__file__).parents[2] / "docs" / "options.md"

# What each of EXIT_CODES covers. Only what is special to a command is in the help of that command.
_DETAILS = {
    0: "The command did what it says. A run that found no gain has ended well, too.",
    1: "The run gave up, a model endpoint failed for good, a file cannot be read. The message says what to do; a run "
    "continues with `agent resume`.",
    2: "Nothing was started: an option, a task or the state of a run does not fit, and the message names it.",
    3: "Nothing ran, because the budget or a cap on tokens or dollars is spent; a higher one continues the run.",
    4: "A program, a package, data, a sandbox or a model endpoint is missing. `agent doctor` names the remedy.",
    130: "Ctrl-C, SIGTERM or a closed terminal; what was running is marked, and runs again with `agent resume`.",
}
_VARIABLES = {
    "`OPENAI_BASE_URL`, `OPENAI_API_KEY`, `OPENAI_MODEL`": "the model endpoint: [models](models.md)",
    "`ANTHROPIC_API_KEY`, `GEMINI_API_KEY` and others": "keys of coding agents: [agents](agents.md)",
    "`AUTOCENTAUR_CACHE`": "folder of prepared data; otherwise `autocentaur` in the cache folder of your user",
    "`AUTOCENTAUR_TRUST=1`": "agree to what tasks run outside of the sandbox, as `--trust` does: "
    "[security](security.md#strangers-folders)",
    "`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `REQUESTS_CA_BUNDLE`": ""
    "the way to a model endpoint: [offline](offline.md)",
    "`MLFLOW_TRACKING_URI`": "where MLflow writes: [trackers](trackers.md)",
    "`DOCKER_HOST`": "the engine of `--sandbox docker`",
}

_SAME_AS = {"mcp": "run"}  # the options of one command are those of another


def page() -> str:
    """Return the text of docs/options.md."""
    parts = [
        "# All commands, options and exit codes",
        _filled("`make docs` writes this page from the program's own help; `--help` after a command prints its part."),
        "## Exit codes",
        _table(("code", "meaning", ""), ((str(code), word, _DETAILS[code]) for code, word in EXIT_CODES.items())),
        "## Variables of the environment",
        _table(("variable", "meaning"), _VARIABLES.items()),
        "## Commands and options",
        "`agent --version` prints the version; `agent --install-completion` completes both in your shell.",
        _table(("command", ""), ((f"[`agent {name}`](#agent-{name})", summary) for name, summary in _summaries())),
    ]
    for name, command in _commands():
        parts += [f"## `agent {name}`", *map(_filled, str(command.help).split("\n\n")), *_options(name, command)]
    return "\n\n".join(parts) + "\n"


def _commands() -> Iterator[tuple[str, Any]]:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    yield from ((name, command) for name, command in commands.items() if not command.hidden)


def _summaries() -> Iterator[tuple[str, str]]:
    yield from ((name, str(command.help).partition("\n\n")[0]) for name, command in _commands())


def _options(name: str, command: Any) -> Iterator[str]:
    """Yield the list of a command's arguments and options; for a command with groups, a list under each heading."""
    if name in _SAME_AS:
        other = _SAME_AS[name]
        given = {each.name for each in command.params}
        missing = [each.opts[0] for each in dict(_commands())[other].params if each.name not in given]
        yield f"Its options are those of [`agent {other}`](#agent-{other}), without `{'` and `'.join(missing)}`."
        return
    context = command.make_context(name, [], resilient_parsing=True)
    ranks = {each: rank for rank, each in enumerate(MOST_USED)}
    is_grouped = isinstance(command, GroupedCommand)
    groups: dict[str, list[str]] = {heading: [] for heading in ("", FIRST, *PANELS)}
    for parameter in sorted(command.params, key=lambda each: ranks.get(each.name, len(ranks)) if is_grouped else 0):
        record = parameter.get_help_record(context)
        if record is not None:
            panel = FIRST if parameter.name in ranks else getattr(parameter, "rich_help_panel", None) or OUTPUT
            is_option = parameter.param_type_name == "option"
            groups[panel if is_grouped and is_option else ""].append(_item(parameter.name, *record))
    for heading, items in groups.items():
        if heading and items:
            yield f"**{heading}**"
        if items:
            yield "\n".join(items)


def _item(name: str, names: str, meaning: str) -> str:
    """Return the line of an option or an argument, from its line in the help."""
    shown = re.sub(r" <.*>$", "", names)  # the Python type of an argument
    shown = shown.upper() if shown == name else shown
    text, _, facts = f"  {meaning}".removesuffix("]").rpartition("  [") if meaning.endswith("]") else (meaning, "", "")
    parts = [text.strip(), *(_fact(fact) for fact in facts.split("; ") if fact and fact != "required")]
    return _filled(f"- `{shown}`" + (f": {' '.join(parts)}" if any(parts) else ""), "  ")


def _fact(fact: str) -> str:
    """Return what the help has in brackets behind an option as a sentence."""
    name, colon, value = fact.partition(": ")
    if colon:
        return f"{'Default' if name == 'default' else 'Variable'}: `{value}`."
    bounds = re.fullmatch(r"(?:(\d+)<=)?x(?:>=(\d+)|<=(\d+))", fact)
    assert bounds is not None, fact
    low, only, high = bounds.groups()
    return f"At least {only}." if only else f"{low} to {high}."


def _filled(text: str, indent: str = "") -> str:
    """Return a paragraph in lines of the usual length."""
    return textwrap.fill(" ".join(text.split()), 120, subsequent_indent=indent, break_on_hyphens=False)


def _table(heading: tuple[str, ...], rows: Any) -> str:
    first, *others = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (heading, *rows)]
    return "\n".join([first, f"|{'---|' * len(heading)}", *others])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
