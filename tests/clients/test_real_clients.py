"""The real programs Claude Code, Codex, OpenCode and Gemini CLI, connected as `agent connect --write` connects them.

Each sees our tools in its first request, calls them, and gets their results, and no question is asked: without a
terminal a question is a refusal. A scripted model is on loopback, and there is no other network.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from agent.agents.connection import SERVER_NAME, McpServer, SettingsFolders
from agent.agents.installation import additions, apply
from agent.agents.kinds import AGENTS
from agent.agents.settings import SettingsFile
from agent.cli.clients.connect import VARIABLES
from tests.clients.dialects import dialect_of
from tests.clients.install import Client
from tests.clients.plans import Call, Say, in_order, value_in
from tests.clients.starting import Finished, Person, ask

pytestmark = pytest.mark.long

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
SCRIPT = 'WIDTH = 2.0  # "ä"\n'
SKILL = files("agent.server").joinpath("skill.md").read_text()
STEPS = (
    Call("brief"),
    Call("submit", {"title": "wider", "script": SCRIPT}),
    Call("wait", lambda results: {"submission": value_in(results[-1], "submission")}),
    Say("all done"),
)


def tried(
    name: str,
    client: Client,
    person: Person,
    *,
    delay: float = 0,
    lacking: str | None = None,
    until_shown: str | None = None,
) -> tuple[Finished, Path]:
    """Start an agent that is connected to the tiny server.

    Args:
        delay: seconds before the server starts.
        lacking: the key of a setting that is left out.
        until_shown: start it at a terminal, until this text is shown.

    Returns:
        What came of it, and the file that the tool `submit` writes.
    """
    noted = person.home / "noted"
    late = ("/bin/sh", "-c", f'sleep {delay}; exec "$@"', "late") if delay else ()
    server = McpServer((*late, sys.executable, str(TINY_SERVER), str(noted)), VARIABLES)
    kind = AGENTS[name]
    places = SettingsFolders(person.project, kind.own_folder_in({"HOME": str(person.home)}))

    def connect() -> None:
        for change in additions(_without(lacking, file) for file in kind.configuration(server, places)):
            apply(change)

    # At a terminal, Claude Code sends its first request at once, with a tool that waits for a server.
    waits = Call("WaitForMcpServers", {"servers": [SERVER_NAME]}) if name == "claude" and until_shown else None
    return ask(
        name, client, person, in_order(*([waits] if waits else []), *STEPS), connect, until_shown=until_shown
    ), noted


@pytest.mark.parametrize("name", AGENTS)
def test_a_round_trip(name: str, installed: Callable[[str], Client], person: Person) -> None:
    page = person.project / AGENTS[name].skills / "autocentaur" / "SKILL.md"
    page.parent.mkdir(parents=True)
    page.write_text(SKILL)
    finished, noted = tried(name, installed(name), person)
    went_well(finished, noted)
    description = re.findall("^description: (.{40})", SKILL, re.MULTILINE)[0]
    assert any(description in json.dumps(body) for _, body in finished.seen)
    assert value_in(finished.results[0], "cache") == str(person.home / "cache")


@pytest.mark.parametrize("name", AGENTS)
def test_it_waits_for_a_server_that_starts_late(name: str, installed: Callable[[str], Client], person: Person) -> None:
    went_well(*tried(name, installed(name), person, delay=12))


@pytest.mark.parametrize(
    ("name", "lacking", "delay"),
    [
        ("codex", "trust_level", 0),
        ("codex", "default_tools_approval_mode", 0),
        ("codex", "required", 60),
        ("claude", "allow", 0),
        ("claude", "alwaysLoad", 60),
        ("claude", "MCP_CONNECT_TIMEOUT_MS", 60),
        ("gemini", "trustedFolders.json", 0),
    ],
)
def test_each_setting_is_needed(
    name: str, lacking: str, delay: float, installed: Callable[[str], Client], person: Person
) -> None:
    _, noted = tried(name, installed(name), person, delay=delay, lacking=lacking)
    assert not noted.exists()


@pytest.mark.parametrize("name", AGENTS)
def test_a_person_at_a_terminal_is_asked_nothing(name: str, installed: Callable[[str], Client], person: Person) -> None:
    finished, noted = tried(name, installed(name), person, until_shown="all done")
    assert (finished.ended.returncode, finished.faults) == (0, [])
    assert noted.exists()


def test_claude_code_would_ask_about_a_server_that_is_not_enabled(
    installed: Callable[[str], Client], person: Person
) -> None:
    question = "New MCP server found in this project: autocentaur"
    finished, noted = tried(
        "claude", installed("claude"), person, lacking="enabledMcpjsonServers", until_shown=question
    )
    assert finished.ended.returncode == 0
    assert not noted.exists()


def _without(lacking: str | None, file: SettingsFile) -> SettingsFile:
    """Return a settings file without the entries, and the fields of entries, of that name."""
    if file.path.name == lacking:
        return replace(file, settings=())
    kept = [
        replace(entry, value={key: value for key, value in entry.value.items() if key != lacking})
        if isinstance(entry.value, dict)
        else entry
        for entry in file.settings
        if lacking not in entry.keys
    ]
    return replace(file, settings=tuple(kept))


def went_well(finished: Finished, noted: Path) -> None:
    output = (finished.ended.stdout + finished.ended.stderr)[-2000:]
    assert finished.faults == [], output
    assert finished.ended.returncode == 0, output
    assert "all done" in finished.ended.stdout
    assert noted.read_text() == f"wider\n{SCRIPT}"
    brief, submitted, waited = finished.results
    assert value_in(brief, "goal") == "lower the loss"
    assert value_in(submitted, "submission") == "a1b2c3"
    assert value_in(waited, "state") == "finished"
    first = next(offered for offered in map(_offered, finished.seen) if offered)
    assert {name for name in ("brief", "submit", "wait") if any(each.endswith(name) for each in first)} == {
        *("brief", "submit", "wait")
    }


def _offered(request: tuple[str, dict[str, object]]) -> list[str]:
    path, body = request
    dialect = dialect_of(path.partition("?")[0])
    assert dialect is not None
    return dialect.offered(body)
