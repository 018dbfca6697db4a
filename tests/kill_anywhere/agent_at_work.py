"""A small coding agent for runs that are killed while it works, and what must be gone and unchanged after a kill."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.execution.coding_agent.agent_job import SOCKET_FOLDERS
from agent.store.journal import read_history
from agent.store.paths import RunPaths
from sandbox.host_identity import folders_of_dead_processes, is_dead
from sandbox.limits import cgroup
from tests.agent.llm.fake_server import Answer, fake_server, says
from tests.contracts.sandbox_contract import processes_with

# It asks for an edit, checks it, asks again after a crash, and asks once more before it ends.
PROGRAM = """
import json, re, subprocess, sys, urllib.request
prompt, base_url = sys.argv[1:3]
left = re.search(r"Budget left: (.*)", open("NOTES.md").read())[1]

def ask(what):
    body = {"model": "fake-1", "messages": [{"role": "user", "content": f"{what}; left: {left}"}]}
    request = urllib.request.Request(
        base_url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]

def edit(change):
    name, value = change.split(" = ")
    source = open("train.py").read()
    open("train.py", "w").write(re.sub(rf"(?m)^{name} = .*", f"{name} = {value}", source))

change = ask("edit")
edit(change)
checked = subprocess.run(["./check"], capture_output=True, text=True)
if checked.returncode:
    change = ask("mend")
    edit(change)
print(f"TITLE: {change}, {ask('done')}")
"""
EDITS = ("WIDTH = 1.2", "SHIFT = undefined", "DEPTH = 3", "SHIFT = 0.1", "WIDTH = 0.9", "SHIFT = 0.2")


class AgentsModel:
    """The model of the agents: its reply follows from the request. It can kill the run that is waiting for a reply."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  # requests, by their text
        self.kills_at: str | None = None  # the next request that begins so kills the run,
        self.run: RunPaths | None = None  # which is this one

    def answer(self, request: Mapping[str, Any]) -> Answer:
        text: str = request["messages"][0]["content"]
        self.asked[text] += 1
        if self.kills_at is not None and text.startswith(self.kills_at):
            self.kills_at = None
            assert self.run is not None
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int(self.run.lock_owner.read_text().split(".")[-2]), signal.SIGKILL)
        n_left = int(re.findall(r"left: (\d+) trial", text)[0])
        if text.startswith("mend"):
            return says(f"SHIFT = {n_left / 8}")
        return says(EDITS[-n_left % len(EDITS)] if text.startswith("edit") else f"with {n_left} left")


@contextmanager
def agents_model() -> Iterator[tuple[AgentsModel, dict[str, str]]]:
    """Serve such a model; yield it and the variables of the environment that lead to it."""
    model = AgentsModel()
    with fake_server(model.answer) as server:  # type: ignore[arg-type]
        yield model, {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-secret"}


def wait_for_the_end(mark: str) -> None:
    """Wait until no process has `mark` as an argument: the kernel ends an agent with the process that opened it."""
    until = time.monotonic() + 60
    while processes_with(mark):
        assert time.monotonic() < until, processes_with(mark)
        time.sleep(0.02)


def paid(run: RunPaths) -> dict[int, bytes]:
    """Return the recorded model calls of each trial in the journal, by number."""
    if not run.journal.exists():
        return {}
    history = read_history(run.journal)
    numbers = [*(trial.number for trial in history.trials), *history.in_flight]
    return {number: run.trial(number).llm.read_bytes() for number in numbers if run.trial(number).llm.exists()}


def left_by_dead_processes() -> set[Path]:
    """Return the sockets' folders of dead processes, and the control groups beside those of this process."""
    found = set(folders_of_dead_processes(SOCKET_FOLDERS))
    controller = cgroup.find()
    parents = [controller.parent] if isinstance(controller, cgroup.CgroupV2) else []
    parents = [*controller.parents.values()] if isinstance(controller, cgroup.CgroupV1) else parents
    for folder in (folder for parent in parents for folder in parent.glob("autocentaur.*")):
        if is_dead(".".join(folder.name.split(".")[1:4])):
            found.add(folder)
    return found
