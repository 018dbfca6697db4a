"""Kills of client, server and runner at any moment: each submission is one trial, whoever died meanwhile.

A round starts a real `agent mcp`, sends it a submission over its standard input, and kills somebody. Then a new client
waits for the verdict.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.store.inbox.submissions import submission_ids
from agent.store.run_lock import holder
from tests.agent.server.conftest import Place, place_in

PLACES = (
    "client after sending", "client in wait", "server after sending", "server in wait", "runner", "server and runner",
)  # fmt: skip
LONG_KILLS = 102


class RawServer:
    """A process `agent mcp`, and a client of it that does not wait for answers unless asked."""

    def __init__(self, place: Place) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "mcp", *place.options],
            cwd=place.folder, env=place.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._n_sent = 0
        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
        self.answer(self.send("initialize", client))
        self._write({"method": "notifications/initialized"})

    def send(self, method: str, params: dict[str, Any]) -> int:
        """Send a request; return its id."""
        self._n_sent += 1
        self._write({"id": self._n_sent, "method": method, "params": params})
        return self._n_sent

    def call(self, tool: str, **arguments: Any) -> int:
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def answer(self, request: int) -> dict[str, Any]:
        """Return the result of a request."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == request:
                return dict(message["result"])
        raise EOFError("the server has ended")

    def leave(self) -> None:
        """Close both pipes without a word, as a client that is killed does."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.leave()

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()


def round_of(place: Place, where: str, script: str, chance: random.Random) -> str | None:
    """Submit a script and kill somebody; return the submission, if its receipt came."""
    server, submission = RawServer(place), None
    sent = server.call("submit", title=where, script=script)
    if where.endswith("after sending"):
        time.sleep(chance.random() * 0.15)  # before, while or after it is stored
    else:
        submission = server.answer(sent)["structuredContent"]["submission"]
        server.call("wait", submission=submission, seconds=50)
        time.sleep(chance.random() * 2)
    if "runner" in where:
        kill_runner(place)
    if "server" in where:
        server.kill()
    server.leave()
    assert server.process.wait(timeout=300) in (0, -signal.SIGKILL)
    return submission


def kill_runner(place: Place) -> None:
    pid = holder(place.client().paths)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def check(place: Place, receipts: set[str]) -> None:
    """Let all that waits run; then each submission is one trial, and journal, git and files agree."""
    client = place.client()
    while waiting := [message.id for message in client.queue.waiting(submission_ids(client.existing().history))]:
        client.wait(waiting[0])
    for submission in receipts:
        while not (verdict := client.wait(submission)).is_final:
            pass
        assert (verdict.status, verdict.trial is not None) == ("ok", True)
    place.quiet()
    history = client.existing().history
    trials = Counter(trial.proposal.submission.id for trial in history.trials if trial.proposal.submission)
    assert set(trials.values()) == {1}
    assert receipts <= trials.keys()
    assert not history.in_flight
    assert not history.run_events.refusals
    verified = place.agent("log", "r", "--verify", "--runs", str(place.runs))
    assert verified.returncode == 0, verified.stdout


def kills(folder: Path, n_kills: int, seed: int) -> None:
    place, chance, receipts = place_in(folder, n_trials=n_kills + 2), random.Random(seed), set[str]()
    client = place.client()
    client.runs.prepare()
    client.begin()
    for number in range(n_kills):
        where = PLACES[number % len(PLACES)]
        submission = round_of(place, where, place.script(1.0 + number / 1000), chance)
        receipts |= {submission} if submission is not None else set()
        if where == PLACES[-1]:
            check(place, receipts)


@pytest.mark.slow
def test_each_submission_is_one_trial_whoever_is_killed(tmp_path: Path) -> None:
    kills(tmp_path, len(PLACES), seed=1)


@pytest.mark.long
def test_a_hundred_kills(tmp_path: Path) -> None:
    kills(tmp_path, LONG_KILLS, seed=2)
