"""config.toml of the user and autocentaur.toml of a task: what wins, what is refused, what a stranger cannot set."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from agent.cli.setup.settings_files import SETTINGS, Chosen, merged
from tests import commands
from tests.agent.llm.fake_server import fake_server
from tests.docs.obliging import ObligingModel
from tests.kill_anywhere.killed_runs import INSTANT

Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    shutil.copytree(INSTANT, tmp_path / "task")

    def run(*argv: str, trusts: bool = True, **variables: str) -> CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        env |= {"AUTOCENTAUR_TRUST": "1" if trusts else "0"}
        return commands.agent(*argv, cwd=tmp_path, env={**env, **variables})

    return run


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The user's file, which is not there yet."""
    path = tmp_path / ".config" / "autocentaur" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def tasks(tmp_path: Path, agent: Agent) -> Path:
    """The file of the task, which is not there yet."""
    return tmp_path / "task" / "autocentaur.toml"


def started(agent: Agent, tmp_path: Path, *more: str, **variables: str) -> dict[str, Any]:
    """Return what run.json of a run holds that was started with these options."""
    done = agent("run", "--task", "task", "--mode", "random", "--name", "r", *more, **variables)
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = json.loads((tmp_path / "runs" / "r" / "run.json").read_text())["config"]
    return config


def test_a_run_starts_from_both_files_and_options_win(agent: Agent, users: Path, tasks: Path, tmp_path: Path) -> None:
    users.write_text('trials = 3\nwall = "2h"\nworkers = 1\n')
    tasks.write_text('budget = "90m"\nworkers = 2\nqueue = 1\n')
    config = started(agent, tmp_path, "--trials", "1", "--queue", "0")
    assert (config["trials"], config["wall_seconds"], config["budget_seconds"]) == (1, 7200, 5400)
    assert (config["workers"], config["queue"]) == (2, 0)


def test_the_file_of_a_task_only_lowers_a_cap(agent: Agent, users: Path, tasks: Path, tmp_path: Path) -> None:
    users.write_text('trials = 2\nwall = "2h"\n')
    tasks.write_text('trials = 900\nwall = "60m"\n')
    config = started(agent, tmp_path)
    assert (config["trials"], config["wall_seconds"]) == (2, 3600)


def test_the_environment_wins_over_both_files(agent: Agent, users: Path, tasks: Path) -> None:
    users.write_text('model = "users"\nbase-url = "http://localhost:1/v1"\nprice = "1,2"\n')
    tasks.write_text('model = "tasks"\n')
    shown = json.loads(agent("config", "--task", "task", "--json").stdout)["settings"]
    assert shown["model"] == {"value": "tasks", "source": f"{tasks}:1"}
    assert shown["base-url"] == {"value": "http://localhost:1/v1", "source": f"{users}:2"}
    assert shown["price"] == {"value": None, "source": "default"}  # that of another model
    variables = {"OPENAI_MODEL": "mine", "OPENAI_BASE_URL": "http://me:secret@localhost:2/v1"}
    output = agent("config", "--task", "task", "--json", **variables).stdout
    shown = json.loads(output)["settings"]
    assert shown["model"] == {"value": "mine", "source": "OPENAI_MODEL"}
    assert shown["base-url"]["source"] == "OPENAI_BASE_URL"
    assert "secret" not in output


def test_config_shows_each_value_with_its_line(agent: Agent, users: Path, tasks: Path) -> None:
    users.write_text('# mine\nmodel = "users"\n\nmax-cost = 5\n')
    tasks.write_text('sandbox = "docker"\n')
    done = agent("config", "--task", "task", trusts=False)
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert lines["model"][1:] == ["users", f"{users}:2"]
    assert lines["max-cost"][1:] == ["5", f"{users}:4"]
    assert lines["sandbox"][1:] == ["docker", f"{tasks}:1"]
    assert lines["trials"][1:] == ["100", "default"]
    assert lines["wall"][1:] == ["-", "default"]
    assert set(SETTINGS) < set(lines)
    assert "a run asks first whether you trust that of the task: agent trust task" in done.stdout


def test_a_run_asks_the_model_of_the_users_file_at_its_endpoint_and_so_does_a_resume(
    agent: Agent, users: Path, tmp_path: Path
) -> None:
    with fake_server(ObligingModel()) as server:
        users.write_text(f'model = "chosen"\nbase-url = "{server.base_url}"\nmax-cost = 5\nprice = "1,2"\n')
        started(agent, tmp_path, "--mode", "fixed", "--trials", "2", OPENAI_API_KEY="sk-mine")
        assert server.requests[-1]["model"] == "chosen"
        n_asked = len(server.requests)
        done = agent("resume", "r", "--trials", "3", OPENAI_API_KEY="sk-mine")
        assert (done.returncode, len(server.requests) > n_asked) == (0, True), done.stderr
        assert server.authorizations[-1] == "Bearer sk-mine"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('modle = "a"\n', ":1: unknown key modle; did you mean model?"),
        ('\nmax_cost = 5\n', ":2: unknown key max_cost; did you mean max-cost?"),
        ("zzz = 1\n", ":1: unknown key zzz; there are model, base-url, price, "),
        ("[run]\ntrials = 3\n", ":1: unknown key run; "),
        ("wall = 8\n", ':1: wall: it should be a duration in quotes, such as "90s", "30m", "24h" or "2d", not 8'),
        ('wall = "8"\n', ":1: wall: it should be a duration in quotes, "),
        ("trials = 0\n", ":1: trials: it should be a whole number of 1 or more, not 0"),
        ("trials = true\n", ":1: trials: it should be a whole number of 1 or more, not True"),
        ("max-cost = nan\n", ":1: max-cost: it should be a number greater than 0, not nan"),
        ('sandbox = "none"\n', ":1: sandbox: it should be one of bubblewrap, docker, not 'none'"),
        ('model = "a"\nprice = "cheap"\n', ":2: price: it should be dollars per million tokens in and out"),
        ('price = "1,2"\n', ":1: price needs the model that it is the price of, in the same file"),
        ("trials = \n", ": Invalid value (at line 1, column 10)"),
        ('model = "a\\u200bb"\n', ":1: the invisible character ZERO WIDTH SPACE (U+200B); remove it"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whose", ["users", "tasks"])
def test_a_fault_is_named_with_file_and_line_and_nothing_is_written(
    request: pytest.FixtureRequest, tmp_path: Path, *, whose: str, text: str, fault: str
) -> None:
    agent, path = request.getfixturevalue("agent"), request.getfixturevalue(whose)
    path.write_text(text)
    done = agent("run", "--task", "task", "--mode", "random", "--name", "r")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path}{fault}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_the_example_of_the_page_is_valid(agent: Agent, users: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "settings.md").read_text()
    users.write_text(page.partition("```toml\n")[2].partition("```")[0])
    shown = json.loads(agent("config", "--task", "task", "--json").stdout)["settings"]
    assert {key for key, each in shown.items() if each["source"].startswith(str(users))} == {
        *("model", "base-url", "price", "max-cost", "wall", "workers", "sandbox"),
    }
    rows = page.partition("| key | value |")[2]
    assert [key for key in SETTINGS if f"`{key}`" not in rows] == []


def test_a_password_in_the_address_stays_out_of_the_file(agent: Agent, users: Path) -> None:
    users.write_text('base-url = "http://me:secret@localhost/v1"\n')
    done = agent("run", "--task", "task", "--mode", "random")
    assert done.returncode == 2
    assert "put the whole one into OPENAI_BASE_URL" in done.stderr


def test_a_task_never_says_where_the_key_goes(agent: Agent, users: Path, tasks: Path, tmp_path: Path) -> None:
    with fake_server(ObligingModel()) as server:
        tasks.write_text(f'model = "a"\nbase-url = "{server.base_url}"\n')
        words = ("run", "--task", "task", "--mode", "fixed", "--trials", "2", "--trust")
        done = agent(*words, OPENAI_API_KEY="sk-mine")
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {tasks}:2: base-url is not for the file of a task, since your key would be sent there; "
            f"set it in {users}, or with --base-url\n"
        )
        assert server.requests == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["accept-unenforced", "trust", "mounts", "runs"])
def test_no_file_can_weaken_the_walls(agent: Agent, tasks: Path, key: str) -> None:
    tasks.write_text(f'{key} = "all"\n')
    done = agent("run", "--task", "task", "--mode", "random")
    assert (done.returncode, f"unknown key {key}" in done.stderr) == (2, True)


def test_what_the_file_of_a_task_sets_counts_once_the_user_has_agreed(
    agent: Agent, tasks: Path, tmp_path: Path
) -> None:
    tasks.write_text('trials = 1\nworkers = 2\nmodel = "dear"\n')
    words = ("run", "--task", "task", "--mode", "random", "--name", "r")
    done = agent(*words, trusts=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        'error: task is not trusted yet: its autocentaur.toml sets model = "dear", trials = 1, workers = 2. '
        "Check it, then run `agent trust task` or add --trust\n"
    )
    assert not (tmp_path / "runs").exists()
    done = agent("trust", "task", trusts=False)
    assert 'task: its autocentaur.toml sets model = "dear", trials = 1, workers = 2' in done.stdout
    assert agent(*words, trusts=False).returncode == 0
    tasks.write_text('trials = 1\nworkers = 64\nmodel = "dear"\n')
    again = agent("run", "--task", "task", "--mode", "random", "--name", "s", trusts=False)
    assert (again.returncode, "workers = 64" in again.stderr) == (2, True)


def test_a_link_is_no_file_of_a_task(agent: Agent, users: Path, tasks: Path) -> None:
    users.write_text("trials = 1\n")
    tasks.symlink_to(users)
    done = agent("run", "--task", "task", "--mode", "random")
    assert done.returncode == 2
    assert done.stderr == f"error: {tasks} must be a plain UTF-8 file of at most 64 KiB\n"


def test_a_run_from_a_trial_takes_no_file_of_a_task(agent: Agent, tasks: Path, tmp_path: Path) -> None:
    started(agent, tmp_path, "--trials", "2")
    tasks.write_text("trials = 1\n")
    done = agent("run", "--from", "r/1", "--mode", "random", "--trials", "2", "--name", "s", trusts=False)
    assert done.returncode == 0, done.stderr


def test_of_two_caps_the_lower_counts_whatever_their_units() -> None:
    users = {"wall": Chosen("90m", "u:1"), "max-cost": Chosen(2.5, "u:2"), "workers": Chosen(1, "u:3")}
    tasks = {"wall": Chosen("2h", "t:1"), "max-cost": Chosen(1, "t:2"), "workers": Chosen(4, "t:3")}
    found = merged(users, tasks)
    assert {key: chosen.source for key, chosen in found.items()} == {"wall": "u:1", "max-cost": "t:2", "workers": "t:3"}
