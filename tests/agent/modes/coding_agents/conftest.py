"""A small coding agent of our own, a program on the PATH, for runs whose model is an endpoint on loopback."""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests import commands

BIGRAM = Path(__file__).parents[3] / "tasks" / "bigram_plain"
COMMAND = "small-agent {prompt} {base_url} {model}"
PROGRAM = """#!/usr/bin/env python3
import json, sys, urllib.request
if sys.argv[1:] == ["--version"]:
    sys.exit("small-agent 1.2.3")
prompt, base_url, model = sys.argv[1:4]
body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
request = urllib.request.Request(
    base_url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
with urllib.request.urlopen(request) as reply:
    said = json.load(reply)["choices"][0]["message"]["content"]
old, new = said.split(" => ")
source = open("train.py").read()
open("train.py", "w").write(source.replace(old, new))
print("TITLE: " + new)
"""
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has the agent on the PATH, and a key."""
    program = tmp_path / "own" / "small-agent"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    kept = {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8", "OPENAI_API_KEY": "sk-secret"}
    return {**kept, "AUTOCENTAUR_CACHE": str(cache)}


@pytest.fixture
def agent(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run one command of that user, in a folder of its own."""

    def run(*argv: str, cwd: Path = tmp_path) -> CompletedProcess[str]:
        return commands.agent(*argv, cwd=cwd, env=environment)

    return run


def search(*more: str, name: str = "r", model: str = "fake-1", command: str = COMMAND) -> list[str]:
    """Return the arguments of a run with that agent."""
    task = ("--task", str(BIGRAM), "--mode", "code-edit", "--agent", command)
    return ["run", *task, "--model", model, "--name", name, *more]


def edit(value: float, old: float = 20.0) -> str:
    """Return the model's reply that lets the agent set one value."""
    return f"SMOOTHING = {old} => SMOOTHING = {value}"
