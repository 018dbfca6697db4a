"""A run that is killed while its coding agent works: the trial is asked again, and nothing that was journaled."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.store.journal import read_history
from tests.agent.llm.fake_server import Answer, fake_server, says
from tests.agent.modes.coding_agents.conftest import Run, edit, search
from tests.kill_anywhere.killed_runs import ROOT

MODEL = f"fake-{os.getpid()}"  # of the runs here, and of no others


@pytest.mark.slow
def test_what_was_journaled_is_not_paid_twice(agent: Run, environment: dict[str, str], tmp_path: Path) -> None:
    arrived = threading.Event()

    def answer(_request: object) -> Answer:
        n_requests = len(server.requests)
        if n_requests == 2:
            arrived.set()
            return Answer(stalls=True)
        return says(edit(90.0 - n_requests))

    with fake_server(answer) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        command = [sys.executable, "-m", "agent", *search("--trials", "4", "--record", "night.jsonl", model=MODEL)]
        variables = {**environment, "AUTOCENTAUR_TRUST": "1", "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.DEVNULL) as process:
            assert arrived.wait(300)
            assert working()
            process.kill()
        before = read_history(tmp_path / "runs" / "r" / "journal.jsonl")
        assert (before.n_started, len(before.trials)) == (2, 2)
        while working():  # the kernel ends the sandbox with the process that opened it
            time.sleep(0.05)
        resumed = agent("resume", "r")
        assert resumed.returncode == 0, resumed.stderr
        assert len(server.requests) == 4  # one for each trial, and the one whose reply nobody got
    after = read_history(tmp_path / "runs" / "r" / "journal.jsonl")
    assert [trial.proposal.title for trial in after.trials[1:]] == [f"SMOOTHING = {90.0 - n}" for n in (1, 3, 4)]
    assert after.trials[:2] == before.trials
    assert [trial.proposal.usage.calls for trial in after.trials if trial.proposal.usage] == [1, 1, 1]
    assert agent("log", "--verify", "r").returncode == 0

    again = agent(*search("--trials", "4", model="replay:night.jsonl", name="again"))
    assert again.returncode == 0, again.stderr
    replayed = read_history(tmp_path / "runs" / "again" / "journal.jsonl")
    assert [trial.proposal.title for trial in replayed.trials] == [trial.proposal.title for trial in after.trials]


def working() -> list[str]:
    """Return the command lines of the agents that work now: they name the model of this test."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"/agent/program/small-agent" in words and MODEL.encode() in words:
                found.append(words[0].decode())
    return found
