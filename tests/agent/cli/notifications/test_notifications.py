"""--on-end and --on-confirmed: when the commands run, what they read, and whose they are."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, ClassVar

import jsonschema
import pytest

from agent.cli.notifications.chosen import CONFIRMED, END, UserCommand, UserCommands
from agent.cli.notifications.notifier import Notifier
from agent.cli.setup.schema import schema_of
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from tests import commands
from tests.kill_anywhere.killed_runs import INSTANT, ROOT, Death, Zygote
from tests.made_runs import BASELINE, made_run

Agent = Callable[..., CompletedProcess[str]]
RUN = ("run", "--task", "task", "--mode", "random", "--keep", "two-tier", "--final-runs", "0", "--name", "r")
APPEND = "tr -d '\\n' >> {0}; echo >> {0}"
"""Appends its input to a file, as one line."""


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    shutil.copytree(INSTANT, tmp_path / "task")

    def run(*argv: str, **variables: str) -> CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "AUTOCENTAUR_TRUST": "1"}
        return commands.agent(*argv, cwd=tmp_path, env={**env, **variables})

    return run


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The user's file, which is not there yet."""
    path = tmp_path / ".config" / "autocentaur" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Return the documents that a command has appended; each fits its schema."""
    documents = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for document in documents:
        jsonschema.Draft202012Validator(schema_of("notification")).validate(document)
    return documents


def test_the_commands_read_the_end_and_each_confirmed_gain(agent: Agent, tmp_path: Path) -> None:
    hooks = ("--on-end", f"{APPEND.format('ends')}; echo sent", "--on-confirmed", APPEND.format("confirmed"))
    done = agent(*RUN, "--trials", "8", *hooks)
    assert done.returncode == 0, done.stderr
    assert "on-end ended with the exit code 0: sent" in done.stdout
    (end,) = read(tmp_path / "ends")
    assert (end["event"], end["name"], end["end"]) == ("end", "r", "done")
    assert end["reason"] == "all 8 trials are done"
    assert end["message"].startswith("r: done: all 8 trials are done; best loss 0.17325 (−91.0 %)")
    (listed,) = end["runs"]
    assert listed == {**json.loads(agent("runs", "--json").stdout)["runs"][0], "bytes": listed["bytes"]}
    assert (listed["state"], listed["open_by"]) == ("done", None)  # the lock is free again
    log = json.loads(agent("log", "r", "--json").stdout)
    holds = [each["trial"] for each in log["repeats"] if (each["verdict"] or {}).get("standing") == "repeated"]
    assert holds == [2, 5]
    confirmed = sorted(read(tmp_path / "confirmed"), key=lambda each: each["trial"]["number"])
    assert [each["trial"] for each in confirmed] == [trial for trial in log["trials"] if trial["number"] in holds]
    assert confirmed[0]["message"].startswith("r: trial 2 is repeated; best loss ")


def test_a_command_that_fails_is_a_warning_and_the_run_ends_as_it_did(agent: Agent) -> None:
    done = agent(*RUN, "--trials", "2", "--on-end", "echo no such host >&2; exit 6")
    assert done.returncode == 0
    assert "warning: on-end ended with the exit code 6: no such host" in done.stdout
    done = agent("resume", "r", "--json", "--on-end", "kill -9 $$")
    assert done.returncode == 3
    assert "warning: on-end ended with the exit code -9: no output" in done.stderr
    assert json.loads(done.stdout)["end"] == "nothing_ran"


def test_the_command_runs_at_each_ending_of_a_run_and_only_once(agent: Agent, tmp_path: Path) -> None:
    hook = ("--on-end", APPEND.format("ends"))
    assert agent(*RUN, "--trials", "2", *hook).returncode == 0
    assert agent("resume", "r", *hook).returncode == 3
    assert agent("resume", "r", "--trials", "3", *hook).returncode == 0
    script = tmp_path / "task" / "train.py"
    script.write_text(script.read_text().replace("print(", "raise SystemExit('no data')\n    print("))
    done = agent(*RUN[:-1], "broken", "--trials", "2", *hook)
    assert done.returncode == 1, done.stdout
    assert [(each["name"], each["end"]) for each in read(tmp_path / "ends")] == [
        ("r", "done"), ("r", "nothing_ran"), ("r", "done"), ("broken", "baseline_failed"),
    ]  # fmt: skip
    assert "no data" in read(tmp_path / "ends")[-1]["message"]


def test_what_never_began_has_no_end(agent: Agent, tmp_path: Path) -> None:
    assert agent(*RUN, "--trials", "2").returncode == 0
    done = agent(*RUN, "--trials", "2", "--on-end", APPEND.format("ends"))
    assert (done.returncode, "on-end" in done.stdout + done.stderr) == (2, False)
    assert read(tmp_path / "ends") == []


def test_commands_that_hang_are_killed_and_the_end_is_reported(tmp_path: Path) -> None:
    paths, lines = made_run(tmp_path / "runs", [BASELINE], options={"trials": 1}).paths, list[str]()
    hang, end = UserCommand("echo begun; sleep 5000"), UserCommand(APPEND.format(tmp_path / "ends"))
    chosen = UserCommands({CONFIRMED: hang, END: end}, {"PATH": os.environ["PATH"]})
    runs = RunsFolder(paths.root.parent)
    notifier = Notifier(chosen, runs, "made", lines.append, limit_seconds=2.0)
    notifier.begin("made")
    notifier.confirmed("made", StoredRun.find(runs, "made").trial(0))
    notifier.end("done", "all 1 trials are done")
    notifier.end("failed", "the page could not be written")  # later than the end
    notifier.close()
    assert lines[0] == "warning: on-confirmed was killed after 2 s: begun"
    assert lines[1] == "on-end ended with the exit code 0: no output"
    assert [each["end"] for each in read(tmp_path / "ends")] == ["done"]


def test_a_run_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    lines = list[str]()
    commands_ = UserCommands({CONFIRMED: UserCommand("true")}, {})
    paths = made_run(tmp_path / "runs", [BASELINE]).paths
    trial = StoredRun.find(RunsFolder(paths.root.parent), "made").trial(0)
    paths.journal.write_text("{}\n{}\n")
    notifier = Notifier(commands_, RunsFolder(paths.root.parent), "made", lines.append)
    notifier.confirmed("made", trial)
    notifier.close()
    assert len(lines) == 1
    assert lines[0].startswith("warning: on-confirmed was not run: ")


@pytest.mark.slow
def test_a_signal_is_an_end(agent: Agent, tmp_path: Path) -> None:
    script = tmp_path / "task" / "train.py"
    script.write_text(
        script.read_text().replace("    print(", "    import time; time.sleep(5000 * (WIDTH != 2))\n    print(")
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUTOCENTAUR_TRUST": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", *RUN, "--trials", "4", "--on-end", APPEND.format("ends")],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while not (tmp_path / "runs/r/trials/0001/train.log").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 130, output
    assert output.splitlines()[-1].startswith("on-end ended with the exit code 0")
    (end,) = read(tmp_path / "ends")
    assert (end["end"], end["runs"][0]["state"]) == ("interrupted", "interrupted")


@pytest.mark.slow
def test_a_pause_is_an_end_and_a_command_may_ask_for_it(agent: Agent, tmp_path: Path) -> None:
    hooks = ("--on-confirmed", f"{sys.executable} -m agent pause r", "--on-end", APPEND.format("ends"))
    assert agent(*RUN, "--trials", "1000", *hooks).returncode == 0
    (end,) = read(tmp_path / "ends")
    assert (end["end"], end["runs"][0]["state"]) == ("paused", "paused")


def test_the_run_goes_on_while_a_command_works_and_waits_for_it_at_the_end(agent: Agent, tmp_path: Path) -> None:
    """The command waits for a trial that begins only after the gain was confirmed."""
    ends = 'grep -q \'"trial_finished","number":7\' runs/r/journal.jsonl'
    done = agent(*RUN, "--trials", "8", "--on-confirmed", f"until {ends}; do sleep 0.1; done; echo seen >> out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "seen\nseen\n"


@pytest.mark.slow
def test_a_kill_between_a_confirmation_and_its_command_loses_the_command(warm: Zygote, tmp_path: Path) -> None:
    agent = warm.within(tmp_path / "here")
    run = ("run", "--task", str(INSTANT), *RUN[3:], "--trials", "8")
    assert agent.agent(*run[:-3], "whole", *run[-2:]) == 0, agent.said
    events = [json.loads(line) for line in (agent.runs.run("whole").journal).read_text().splitlines()]
    confirms = [at for at, event in enumerate(events, 1) if event.get("verdict")]
    assert [events[at - 1]["trial"] for at in confirms] == [2, 5]
    hook = ("--on-confirmed", f"{APPEND.format(agent.folder / 'confirmed')}")
    death = Death("after fsync runs/r/journal.jsonl", nth=confirms[0])
    assert agent.agent(*run, *hook, death=death) == -9, agent.said
    assert len((agent.runs.run("r").journal).read_text().splitlines()) == confirms[0]
    assert agent.agent("resume", "r", *hook) == 0, agent.said
    assert [each["trial"]["number"] for each in read(agent.folder / "confirmed")] == [5]  # never 2, and 5 once


@pytest.mark.slow
def test_a_comparison_has_one_end(agent: Agent, tmp_path: Path) -> None:
    words = ("--task", "task", "--modes", "random,local", "--seeds", "1", "--trials", "3", "--name", "c")
    done = agent("compare", *words, "--on-end", APPEND.format("ends"), "--keep", "two-tier")
    assert done.returncode == 0, done.stderr
    done = agent("compare", "--resume", "c", "--on-end", APPEND.format("ends"))
    assert done.returncode == 3
    first, second = read(tmp_path / "ends")
    assert (first["name"], first["end"], second["end"]) == ("c", "done", "nothing_ran")
    assert [run["run"] for run in first["runs"]] == ["c-random-s0", "c-local-s0"]
    assert " in c-random-s0" in first["message"]


@pytest.mark.slow
def test_a_run_that_waits_for_submissions_has_not_ended(agent: Agent, tmp_path: Path) -> None:
    words = ("run", "--task", "task", "--mode", "submitted", "--trials", "2", "--name", "s")
    hook = ("--on-end", APPEND.format("ends"))
    assert agent(*words, *hook).returncode == 0
    assert read(tmp_path / "ends") == []
    assert agent("submit", "s", "--values", '{"WIDTH": 1.0}', "--wait").returncode == 0
    deadline = time.monotonic() + 600
    while json.loads(agent("runs", "--json").stdout)["runs"][0]["state"] != "done" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agent("resume", "s", *hook).returncode == 3
    assert [each["end"] for each in read(tmp_path / "ends")] == ["nothing_ran"]


def test_the_user_s_file_counts_and_an_option_wins(agent: Agent, users: Path, tmp_path: Path) -> None:
    users.write_text(f"on-end = '''{APPEND.format('users')}'''\n")
    assert agent(*RUN, "--trials", "2").returncode == 0
    assert agent("resume", "r", "--trials", "3").returncode == 0
    assert agent("resume", "r", "--trials", "4", "--on-end", APPEND.format("options")).returncode == 0
    assert agent("resume", "r", "--trials", "5", "--on-end", "").returncode == 0
    assert (len(read(tmp_path / "users")), len(read(tmp_path / "options"))) == (2, 1)
    assert "on-end" not in (tmp_path / "runs" / "r" / "run.json").read_text()
    assert APPEND.format("users") in agent("config").stdout


def test_a_command_has_the_environment_of_its_user(agent: Agent, tmp_path: Path) -> None:
    done = agent(*RUN, "--trials", "2", "--on-end", "env > variables", OPENAI_API_KEY="sk-mine", WEBHOOK="mine")
    assert done.returncode == 0, done.stderr
    variables = dict(line.split("=", 1) for line in (tmp_path / "variables").read_text().splitlines() if "=" in line)
    assert (variables["OPENAI_API_KEY"], variables["WEBHOOK"]) == ("sk-mine", "mine")
    assert "AUTOCENTAUR_TRUST" not in variables
    assert (variables["AUTOCENTAUR_EVENT"], variables["AUTOCENTAUR_RUN"], variables["AUTOCENTAUR_END"]) == (
        *("end", "r", "done"),
    )
    assert variables["AUTOCENTAUR_RUNS"] == str(tmp_path / "runs")


def test_a_stranger_s_task_runs_no_command_without_consent(agent: Agent, tmp_path: Path) -> None:
    task, out = tmp_path / "task", tmp_path / "out"
    (task / "notify.sh").write_text(f"env > {out}; cat trick.sh beside.txt\n")
    (task / "beside.txt").write_text("not named by the command")
    (task / "autocentaur.toml").write_text('on-end = "sh ./notify.sh"\n')
    untrusted = {"AUTOCENTAUR_TRUST": "0", "OPENAI_API_KEY": "sk-mine"}
    done = agent(*RUN, "--trials", "2", **untrusted)
    assert done.returncode == 2
    assert 'its autocentaur.toml sets on-end = "sh ./notify.sh" (runs outside of the sandbox)' in done.stderr
    assert not (tmp_path / "runs").exists()
    assert agent("trust", "task", **untrusted).returncode == 0
    done = agent(*RUN, "--trials", "2", **untrusted)
    assert done.returncode == 0, done.stderr
    assert "sk-mine" not in out.read_text()
    assert "cat: beside.txt: No such file" in done.stdout  # it runs in a copy of what the command names
    out.unlink()
    (task / "notify.sh").write_text(f"touch {out}\n")  # it is not what the user agreed to any more
    done = agent("resume", "r", "--trials", "3", **untrusted)
    assert (done.returncode, "is not trusted yet" in done.stderr, out.exists()) == (2, True, False)


def test_a_command_that_changes_during_the_run_is_not_run(agent: Agent, tmp_path: Path) -> None:
    task, out = tmp_path / "task", tmp_path / "out"
    (task / "notify.sh").write_text("true\n")
    changed = f"echo touch {out} > {task}/notify.sh"
    (task / "autocentaur.toml").write_text('on-end = "sh notify.sh"\n')
    done = agent(*RUN, "--trials", "8", "--on-confirmed", changed)
    assert done.returncode == 0, done.stderr
    assert f"warning: on-end was not run: what the user agreed to in {task} has changed since" in done.stdout
    assert not out.exists()


def test_a_client_s_folder_sets_no_command(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "task" / "autocentaur.toml").write_text(f'on-end = "touch {tmp_path}/out"\n')
    done = agent("run", "--task", "task", "--mode", "submitted", "--trials", "1", "--name", "s")
    assert done.returncode == 0, done.stderr
    assert json.loads(agent("runs", "--json").stdout)["runs"][0]["trials"] == 1
    assert agent("resume", "s").returncode == 3
    assert not (tmp_path / "out").exists()


class Webhook(BaseHTTPRequestHandler):
    """Keeps the bodies of the requests that it gets."""

    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_the_recipes_are_settings_and_the_one_for_slack_works(agent: Agent, users: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "notifications.md").read_text()
    recipes = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    assert len(recipes) == 5
    for recipe in recipes:
        users.write_text(recipe)
        assert agent("config").returncode == 0
    users.write_text(next(recipe for recipe in recipes if "SLACK_WEBHOOK" in recipe))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = agent(*RUN, "--trials", "4", SLACK_WEBHOOK=f"http://127.0.0.1:{server.server_port}/hook")
    finally:
        server.shutdown()
        server.server_close()
    assert "\non-confirmed ended with the exit code 0" in done.stdout, done.stdout
    (body,) = Webhook.bodies
    assert json.loads(body)["text"].startswith("r: trial 2 is repeated; best loss 0.59599 (−69.1 %)")
