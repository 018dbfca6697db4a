"""Each way in which an agent can misbehave, in whole runs behind the real gateway: a named status, and the run goes on.

The agent is a small program that executes what its model writes.
"""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from agent.store.journal import read_history
from agent.trials.trial import Status
from tests.agent.llm.fake_server import STALLS, Answer, fails, fake_server, says
from tests.agent.modes.coding_agents.conftest import Run, search
from tests.contracts.sandbox_contract import processes_with

pytestmark = pytest.mark.slow

PROGRAM = """#!/usr/bin/env python3
import json, os, subprocess, sys, time, urllib.request
if sys.argv[1:] == ["--version"]:
    sys.exit("small-agent 1.2.3")
prompt, base_url, model = sys.argv[1:4]

def ask():
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    request = urllib.request.Request(
        base_url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]

def edit(value):
    source = open("train.py").read().split("SMOOTHING = ", 1)
    open("train.py", "w").write(source[0] + f"SMOOTHING = {value}\\n" + source[1].partition("\\n")[2])

exec(ask())
"""
MARK = uuid.uuid4().hex
OUTLIVE = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)', '{MARK}'], start_new_session=True)"
PRINTS = "edit(70.0); print(dict(os.environ)); print('TITLE:', os.environ['OPENAI_API_KEY'])"
ROWS: tuple[tuple[str, Status, str], ...] = (
    ("os.remove('train.py')", Status.INVALID_EDIT, "the agent left no train.py: it was deleted"),
    ("os.remove('train.py'); os.symlink('/etc/passwd', 'train.py')", Status.INVALID_EDIT, "it became a link"),
    ("os.remove('train.py'); os.link('NOTES.md', 'train.py')", Status.INVALID_EDIT, "does not parse"),
    ("os.remove('train.py'); os.mkfifo('train.py')", Status.INVALID_EDIT, "it is not a file any more"),
    ("print('All is well.')", Status.NO_PROPOSAL, "small-agent made no change: All is well."),
    ("sys.exit(0)", Status.NO_PROPOSAL, "small-agent made no change"),
    ("open('train.py', 'a').write('# a comment\\n')", Status.DUPLICATE, "changes nothing but comments"),
    ("edit(90.0); open('eval.py', 'w').write('x')", Status.OK, ""),
    ("edit(90.0)", Status.NO_PROPOSAL, "made no change"),  # if it was kept; else it is a duplicate
    ("edit(80.0); [ask() for _ in range(100)]", Status.NO_PROPOSAL, "may make 5 model calls, and no more"),
    (f"edit(80.0); {OUTLIVE}", Status.OK, ""),
    (PRINTS, Status.OK, ""),
    ("edit(60.0)\nwhile True: print('flood ' * 1000)", Status.NO_PROPOSAL, "small-agent"),
    ("edit(60.0)\nwith open('/tmp/fill', 'wb', 0) as file:\n    while True: file.write(b'x' * 2**20)",
     Status.NO_PROPOSAL, "small-agent"),
    ("edit(60.0)\nfor _ in range(1000):\n    if os.fork() == 0: time.sleep(3600)", Status.NO_PROPOSAL, "small-agent"),
    ("edit(50.0); os.chmod('prepare.py', 0o777); open('prepare.py', 'w').write('raise SystemExit')", Status.OK, ""),
    ("open('train.py', 'wb').write(b'x' * 10_000_000)", Status.INVALID_EDIT, "it has more than 200000 bytes"),
    ("open('train.py', 'wb').write(b'\\xff')", Status.INVALID_EDIT, "it is not UTF-8 text any more"),
    ("os.kill(os.getppid(), 9)", Status.NO_PROPOSAL, "small-agent"),
    ("edit(40.0); print('TITLE: the last one')", Status.OK, ""),
)  # fmt: skip


@pytest.fixture
def misbehaving(environment: dict[str, str], tmp_path: Path) -> None:
    """Let the user's agent be the one that executes what its model writes."""
    (tmp_path / "own" / "small-agent").write_text(PROGRAM)


@pytest.mark.usefixtures("misbehaving")
def test_each_is_a_named_status_and_the_run_goes_on(agent: Run, environment: dict[str, str], tmp_path: Path) -> None:
    left = [code for code, _, _ in ROWS]
    n_looped = 0

    def answer(_request: Any) -> Answer:
        nonlocal n_looped
        if 0 < n_looped < 5:  # the calls of the agent that loops
            n_looped += 1
            return says("pass")
        code = left.pop(0)
        n_looped += "ask()" in code
        return says(code)

    with fake_server(answer) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", str(len(ROWS) + 1), "--agent-calls", "5", "--no-confirm"))
        assert done.returncode == 0, done.stderr
    assert left == []
    history = read_history(tmp_path / "runs" / "r" / "journal.jsonl")
    trials = history.trials[1:]
    for (code, status, reason), trial in zip(ROWS, trials, strict=True):
        allowed = {status, Status.DUPLICATE} if code == "edit(90.0)" else {status}
        assert trial.status in allowed, (code, trial.status, trial.proposal.reason)
        if trial.status is status:
            assert reason in trial.proposal.reason, code
        assert "\n" not in trial.proposal.reason
        assert trial.proposal.agent is not None
        assert trial.proposal.usage is not None
    by_code = {code: trial for (code, _, _), trial in zip(ROWS, trials, strict=True)}
    assert by_code[ROWS[7][0]].proposal.agent.changed == ("eval.py",)  # type: ignore[union-attr]
    assert by_code[ROWS[15][0]].proposal.agent.changed == ("prepare.py",)  # type: ignore[union-attr]
    assert processes_with(MARK) == []
    assert trials[-1].proposal.title == "the last one"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert [path for path in files if b"sk-secret" in path.read_bytes()] == []
    assert agent("log", "--verify", "r").stdout == "run r: journal, git and files agree\n"
    assert agent("show", "r/12").returncode == 0


@pytest.mark.usefixtures("misbehaving")
def test_an_agent_that_stalls_is_stopped_and_the_run_goes_on(
    agent: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with fake_server(lambda _request: says("edit(90.0); time.sleep(3600)")) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "3", "--agent-time", "4s"))
    assert done.returncode == 0, done.stderr
    trials = read_history(tmp_path / "runs" / "r" / "journal.jsonl").trials[1:]
    assert [(trial.status, trial.proposal.reason[:29]) for trial in trials] == [
        (Status.NO_PROPOSAL, "small-agent: it was stopped a")
    ] * 2


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(("answer", "message"), [(STALLS, "it was stopped after"), (fails(500, "busy"), "500")])
def test_an_endpoint_that_stalls_or_fails_costs_nothing_of_the_run(
    agent: Run, environment: dict[str, str], tmp_path: Path, answer: Answer, message: str
) -> None:
    with fake_server([says("edit(90.0)"), answer]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "3", "--agent-time", "8s" if answer is STALLS else "5m"))
    log = json.loads(agent("log", "r", "--json").stdout)["trials"]
    assert log[1]["status"] in ("ok", "no_proposal")  # the latter if 8 s are too few on this machine
    if answer is STALLS:
        assert done.returncode == 0, done.stderr
        assert log[2]["status"] == "no_proposal"
    else:
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert message in done.stderr
        assert "then: agent resume r" in done.stderr
        with fake_server([says("edit(80.0)")]) as server:
            environment["OPENAI_BASE_URL"] = server.base_url
            assert agent("resume", "r").returncode == 0
        assert len(read_history(tmp_path / "runs" / "r" / "journal.jsonl").trials) == 3
