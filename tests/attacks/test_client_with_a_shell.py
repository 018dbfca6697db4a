"""A client of `agent submit` that owns a shell: as the host's own user, and as another one.

docs/security.md says what holds in each case, and what does not.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.store.paths import RunsFolder
from agent.store.run_lock import locked
from agent.task.corpus import find_corpus, prepare_corpus
from agent.task.task import Task

pytestmark = pytest.mark.slow

TASKS = Path(__file__).parents[1] / "tasks"
NOBODY = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be a host that is another user than its client"
)


@dataclass(frozen=True)
class Judged:
    """A run that has its baseline, and the environment of the host's commands."""

    runs: RunsFolder
    cache: Path
    task: Task
    env: dict[str, str]

    def agent(self, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *argv, "--runs", str(self.runs.root)]
        return subprocess.run(command, env=self.env, stdin=stdin, capture_output=True, text=True, check=False)

    def submit(self, mix: float, stdin: int = subprocess.DEVNULL) -> dict[str, object]:
        """Submit a value and return the verdict."""
        values = json.dumps({"MIX": mix})
        done = self.agent("submit", "r", "--values", values, "--wait", "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        verdict: dict[str, object] = json.loads(done.stdout)
        return verdict


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A run whose folders only the host's user may enter."""
    folder = tmp_path_factory.mktemp("host")
    shutil.copytree(TASKS / "bigram_plain", folder / "task")
    cache, task = folder / "cache", Task.load(folder / "task", None)
    prepare_corpus(task, cache)
    for private in (cache, folder / "runs"):
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    env = {
        "PATH": os.environ["PATH"],
        "AUTOCENTAUR_CACHE": str(cache),
        "AUTOCENTAUR_TRUST": "1",
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    judged = Judged(RunsFolder(folder / "runs"), cache, task, env)
    done = judged.agent("run", "--mode", "submitted", "--task", str(task.folder), "--name", "r", "--trials", "9")
    assert done.returncode == 0, done.stderr
    return judged


def _as_nobody(program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as the client's user, with no group of the host's."""
    return subprocess.run(
        ["/usr/bin/env", "-i", "python3", "-c", program, *argv],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip


def _pipe_of_nobody() -> int:
    """Return the read end of a pipe that a process of the client's user made, as sudo passes one on."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        socket.send_fds(theirs, [b"x"], [os.pipe()[0]])
        os._exit(0)
    _, (read_end,), _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    ours.close()
    theirs.close()
    return read_end


def test_what_a_client_of_the_hosts_own_user_can_do(host: Judged) -> None:
    """It reads the validation data and the secrets of scoring, and it can rewrite a loss; git then disagrees."""
    corpus = find_corpus(host.task, host.cache)
    assert corpus is not None
    assert any(path.stat().st_size for path in (corpus.folder / "val").iterdir())
    assert host.agent("log", "r", "--verify").returncode == 0
    journal = host.runs.run("r").journal
    honest = journal.read_text()
    events = [json.loads(line) for line in honest.splitlines()]
    events[1]["outcome"]["val_loss"] = 0.001
    journal.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    verified = host.agent("log", "r", "--verify")
    journal.write_text(honest)
    assert verified.returncode == 1
    assert "trial 0" in verified.stdout


@needs_root
def test_a_client_of_another_user_gets_a_verdict_that_does_not_rely_on_it(host: Judged) -> None:
    stdin = _pipe_of_nobody()
    verdict = host.submit(0.12, stdin)
    os.close(stdin)
    assert verdict["client_trusted"] is False
    number = verdict["trial"]
    shown = host.agent("show", f"r/{number}")
    assert "client trusted" not in shown.stdout


@needs_root
def test_what_a_client_of_another_user_cannot_do(host: Judged) -> None:
    """It cannot list or read the data, write to the run or its inbox, or reach the runner's process."""
    inbox, cache = host.runs.run("r").inbox, host.cache
    tries = {
        "list the data": f"import os; os.listdir({str(cache)!r})",
        "read the journal": f"open({str(host.runs.run('r').journal)!r}).read()",
        "write to the journal": f"open({str(host.runs.run('r').journal)!r}, 'a')",
        "put a message into the inbox": f"open({str(inbox / 'x.json')!r}, 'w')",
        "change the task": f"open({str(host.task.folder / 'train.py')!r}, 'a')",
    }
    for what, program in tries.items():
        done = _as_nobody(program)
        assert done.returncode != 0, what
        assert "PermissionError" in done.stderr, f"{what}: {done.stderr}"
    with locked(host.runs.run("r")):  # this process stands for the runner
        for what, program in {
            "signal the runner": f"import os; os.kill({os.getpid()}, {signal.SIGTERM.value})",
            "read the runner's memory": f"open('/proc/{os.getpid()}/mem', 'rb')",
            "read the runner's environment": f"open('/proc/{os.getpid()}/environ', 'rb').read()",
        }.items():
            done = _as_nobody(program)
            assert "PermissionError" in done.stderr, f"{what}: {done.stderr}"


def test_a_submitted_cheat_gets_the_honest_loss_and_its_client_is_called_trusted(host: Judged) -> None:
    """A script that prints a perfect loss, and saves the honest model of values that are worse."""
    source = host.task.source.replace("MIX = 0.5", "MIX = 0.11") + '\nprint("---")\nprint("val_bpb: 0.0")\n'
    cheat = host.runs.root.parent / "cheat.py"
    cheat.write_text(source)
    done = host.agent("submit", "r", "--script", str(cheat), "--title", "cheat", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["verdict"] in ("reverted", "failed")
    assert verdict["client_trusted"] is True
    assert "client trusted" in host.agent("show", f"r/{verdict['trial']}").stdout
