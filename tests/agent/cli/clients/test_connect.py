"""`agent connect` and `agent skill`, as a person calls them."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException

from agent.agents.kinds import AGENTS
from agent.cli.clients.connect import with_absolute_paths
from agent.cli.main import app
from tests.commands import agent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    return tmp_path / "home"


@pytest.fixture
def project(home: Path) -> Path:
    return home.parent / "project"


def connect(project: Path, *words: str) -> CompletedProcess[str]:
    if words and "--name" not in words and "--undo" not in words:
        words = (*words, *([] if "--" in words else ["--"]), "--name", "r")
    return agent("connect", *words, cwd=project, env={"HOME": str(project.parent / "home")})


def test_what_the_server_would_refuse_is_not_written(home: Path, project: Path) -> None:
    for options, expected in (
        ([], "agent mcp serves one run; name it with --name RUN"),
        (["--", "--name", "r", "--mode", "random"], "`agent mcp` has no option --mode"),
        (["--", "--name", "r", "--task", "nowhere"], "nowhere"),
        (["--", "--name", "r", "--profile", "none"], "none"),
    ):
        done = agent("connect", "codex", "--write", *options, cwd=project, env={"HOME": str(home)})
        assert done.returncode == 2
        assert expected in done.stderr
    assert all_files(home, project) == {}


def all_files(*folders: Path) -> dict[Path, str]:
    return {path: path.read_text() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", AGENTS)
def test_it_prints_without_writing_then_writes_then_undoes(name: str, home: Path, project: Path) -> None:
    shown = connect(project, name, "--", "--trials", "5")
    assert shown.stdout.startswith("run r will be of the bundled task, ")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all_files(home, project) == {}
    wrote = connect(project, name, "--write", "--", "--trials", "5")
    assert (wrote.returncode, wrote.stderr) == (0, "")
    written = all_files(home, project)
    for path, text in written.items():
        assert f"\n{path}\n" in shown.stdout
        assert f"wrote {path}\n" in wrote.stdout
        for line in text.splitlines():
            assert line in shown.stdout
    assert f"`agent connect {name} --write -- --trials 5 --name r` adds them" in shown.stdout
    assert wrote.stdout.endswith(f"agent skill > {AGENTS[name].skills}/autocentaur/SKILL.md\n")
    again = connect(project, name, "--write", "--", "--trials", "5")
    assert again.stdout.splitlines()[2] == "nothing to write: the files have these settings already"
    assert all_files(home, project) == written
    undone = connect(project, name, "--undo")
    assert sorted(undone.stdout.splitlines()) == sorted(f"removed {path}" for path in written)
    assert all_files(home, project) == {}
    assert connect(project, name, "--undo").stdout.startswith("nothing to undo")


def test_what_the_files_held_before_stays_and_is_kept_beside(home: Path, project: Path) -> None:
    own, local = home / ".codex" / "config.toml", project / ".codex" / "config.toml"
    own.parent.mkdir()
    local.parent.mkdir()
    own.write_text('model = "dear"  # to me\n')
    own.chmod(0o640)
    local.write_text("[mcp_servers.other]\ncommand = 'x'\n")
    wrote = connect(project, "codex", "--write", "--", "--trials", "5")
    backup = own.with_name("config.toml.before-autocentaur")
    assert f"wrote {own}; the earlier text is in {backup}" in wrote.stdout
    assert backup.read_text() == 'model = "dear"  # to me\n'
    assert own.stat().st_mode & 0o777 == 0o640
    assert own.read_text().startswith('model = "dear"  # to me\n')
    assert set(tomllib.loads(local.read_text())["mcp_servers"]) == {"other", "autocentaur"}
    connect(project, "codex", "--undo")
    assert own.read_text() == 'model = "dear"  # to me\n'
    assert local.read_text() == "[mcp_servers.other]\ncommand = 'x'\n"


def test_another_call_replaces_the_arguments(home: Path, project: Path) -> None:
    for trials in ("5", "6"):
        connect(project, "opencode", "--write", "--", "--trials", trials)
    command = json.loads((project / "opencode.json").read_text())["mcp"]["autocentaur"]["command"]
    assert "6" in command
    assert "5" not in command


def test_one_file_that_cannot_be_read_stops_all(home: Path, project: Path) -> None:
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").write_text("{oops")
    failed = connect(project, "claude", "--write")
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {home}/.claude/settings.json is not JSON (")
    assert failed.stderr.count("\n") == 1
    assert all_files(home, project) == {home / ".claude" / "settings.json": "{oops"}


def as_link(path: Path, elsewhere: Path) -> None:
    elsewhere.write_text("{}")
    path.symlink_to(elsewhere)


def as_fifo(path: Path, _elsewhere: Path) -> None:
    os.mkfifo(path)


def as_bytes(path: Path, _elsewhere: Path) -> None:
    path.write_bytes(b"\xff{}")


def as_folder(path: Path, _elsewhere: Path) -> None:
    path.mkdir()


def as_large(path: Path, _elsewhere: Path) -> None:
    path.write_bytes(b" " * (5 * 2**20))


@pytest.mark.parametrize("made", [as_link, as_fifo, as_bytes, as_folder, as_large])
def test_what_a_project_must_not_hold_there_is_one_line(made: Any, home: Path, project: Path, tmp_path: Path) -> None:
    made(project / "opencode.json", tmp_path / "elsewhere")
    failed = connect(project, "opencode", "--write")
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {project}/opencode.json is unchanged, because it")
    assert failed.stderr.count("\n") == 1
    if made is as_link:
        assert (tmp_path / "elsewhere").read_text() == "{}"


def test_a_linked_folder_in_a_project_is_refused(home: Path, project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (project / ".codex").symlink_to(tmp_path / "elsewhere")
    assert connect(project, "codex", "--write").returncode == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_users_own_file_may_be_a_link(home: Path, project: Path, tmp_path: Path) -> None:
    (home / ".codex").mkdir()
    (tmp_path / "dotfiles.toml").write_text('model = "m"\n')
    (home / ".codex" / "config.toml").symlink_to(tmp_path / "dotfiles.toml")
    assert connect(project, "codex", "--write").returncode == 0
    assert (home / ".codex" / "config.toml").is_symlink()
    assert "trusted" in (tmp_path / "dotfiles.toml").read_text()


def test_in_the_home_folder_both_files_are_one(home: Path) -> None:
    made = agent("connect", "codex", "--write", "--", "--name", "r", cwd=home, env={"HOME": str(home)})
    assert made.returncode == 0
    assert set(tomllib.loads((home / ".codex" / "config.toml").read_text())) == {"mcp_servers", "projects"}
    assert agent("connect", "codex", "--undo", cwd=home, env={"HOME": str(home)}).returncode == 0
    assert all_files(home) == {}


def test_a_folder_that_cannot_be_written_is_one_line(home: Path, project: Path) -> None:
    (home / ".claude").write_text("a file where a folder belongs")
    failed = connect(project, "claude", "--write")
    assert failed.returncode == 2
    assert "cannot be written" in failed.stderr
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["aider"], "there is no coding agent 'aider'; name claude, codex, opencode or gemini"),
        (["codex", "--write", "--undo"], "--write and --undo exclude each other"),
        (["codex", "--trials", "5"], "`agent connect` has no option --trials"),
        ([], "Missing argument 'AGENT'"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], expected: str, home: Path, project: Path) -> None:
    failed = connect(project, *words)
    assert failed.returncode == 2
    assert expected in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert all_files(home, project) == {}


def test_paths_become_absolute_and_defaults_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    there = str(tmp_path)
    assert with_absolute_paths(run, ["--task", "t", "--trials", "5"]) == [
        *("--task", f"{there}/t", "--trials", "5", "--runs", f"{there}/runs"),
    ]
    assert with_absolute_paths(run, ["--runs=r"]) == ["--runs", f"{there}/r"]
    with pytest.raises(TyperException, match="No such option"):
        with_absolute_paths(run, ["--no-such-option"])


def test_the_server_starts_where_the_project_has_a_package_of_our_name(home: Path, project: Path) -> None:
    (project / "agent").mkdir()
    (project / "agent" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    connect(project, "opencode", "--write")
    command = json.loads((project / "opencode.json").read_text())["mcp"]["autocentaur"]["command"]
    assert shutil.which(command[0])
    done = subprocess.run(
        [*command[: command.index("mcp")], "--version"], cwd=project, capture_output=True, text=True, check=False
    )
    assert "wrong package" not in done.stdout + done.stderr
    assert done.returncode == 0


def test_the_page_for_an_agent_names_every_tool_and_what_never_to_do(tmp_path: Path) -> None:
    page = agent("skill", cwd=tmp_path, env={}).stdout
    for tool in ("brief", "submit", "wait", "history", "show", "diff", "best", "budget", "notes"):
        assert f"| `{tool}` | `agent " in page
    assert page.startswith("---\nname: autocentaur\n")
    assert "## Never" in page


def test_the_page_names_tools_and_commands_that_exist(tmp_path: Path) -> None:
    page = agent("skill", cwd=tmp_path, env={}).stdout
    rows = re.findall(r"^\| `(\w+)` \| `agent (\w+)", page, re.MULTILINE)
    assert [tool for tool, _ in rows] == [
        "brief",
        "submit",
        "wait",
        "history",
        "show",
        "diff",
        "best",
        "budget",
        "notes",
    ]
    help_page = agent("--help", cwd=tmp_path, env={}).stdout
    assert all(re.search(rf"^  {command} ", help_page, re.MULTILINE) for _, command in rows)
