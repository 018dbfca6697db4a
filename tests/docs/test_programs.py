"""What the pages start besides `agent`: each benchmark, as small as it goes, and a server of one's own."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent.llm.local_model import find_weights
from tests.agent.llm.fake_server import fake_server
from tests.docs.obliging import ObligingModel
from tests.docs.pages import ROOT, blocks, spans
from tests.docs.place import TASKS, simple_commands
from tests.docs.rules import SMALLEST, smallest
from tests.kill_anywhere.killed_runs import Zygote

BENCHMARK = re.compile(r"python -m (benchmarks(?:\.\w+)+)")


def benchmark_lines() -> list[str]:
    """Return every line of the pages that starts a benchmark, once."""
    texts = [*(line for block in blocks() for line in block.commands), *(span.text for span in spans())]
    found = (" ".join(words) for text in texts for words in simple_commands(text))
    return sorted({line for line in found if BENCHMARK.match(line)})


def test_it_is_known_how_to_make_each_benchmark_small() -> None:
    named = {BENCHMARK.match(line)[1] for line in benchmark_lines()}  # type: ignore[index]
    assert named <= set(SMALLEST), "say in SMALLEST of tests/docs/rules.py how it runs for seconds"


@pytest.mark.long
@pytest.mark.parametrize("line", benchmark_lines(), ids=str)
def test_a_benchmark_runs_as_its_page_says(line: str, tmp_path: Path) -> None:
    with fake_server(ObligingModel()) as endpoint:
        argv = smallest(shlex.split(line), folder=tmp_path, endpoint=endpoint.base_url)
        environment = {**os.environ, **({"OPENAI_API_KEY": "none"} if "--base-url" in argv else {})}
        command = [sys.executable, *argv]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.mark.long
@pytest.mark.real_llm
def test_the_server_that_we_embed_serves_a_file_to_a_run(warm: Zygote, tmp_path: Path) -> None:
    (line,) = (line for block in blocks() for line in block.commands if "agent.llm.local_server" in line)
    argv = [str(find_weights()) if word == "MODEL.gguf" else word for word in shlex.split(line)[1:]]
    server = subprocess.Popen(
        [sys.executable, *argv], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    ready, url = server.stdout.readline().split()
    assert ready == "READY"
    agent = warm.within(tmp_path)
    asked = {"OPENAI_BASE_URL": url, "OPENAI_MODEL": "local"}
    run = ["run", "--task", str(TASKS / "instant"), "--mode", "fixed", "--trials", "2", "--context-tokens", "8192"]
    assert agent.agent(*run, **asked) == 0, agent.said
    assert "model calls" in agent.said
    server.stdin.close()  # this is what ends it, as the page says
    assert server.wait(timeout=600) == 0
    server.stdout.close()
