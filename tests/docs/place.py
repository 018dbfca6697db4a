"""A folder as a reader has it, with a run named RUN, and a reader who types the lines of a page in a copy of it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.store.git_repo import TrialRepo
from agent.store.paths import RunsFolder
from tests.agent.llm.fake_server import FakeServer
from tests.docs.rules import A_COMMIT_IS, CHANGES_RUNS, ENDS_WITH, RUN, WRITES_HERE, not_run, rewritten
from tests.kill_anywhere.killed_runs import Death, Zygote

TASKS = Path(__file__).parents[1] / "tasks"
N_TRIALS = 9  # of RUN that have ended; the next was killed while it ran, so that there is something to resume
_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "reader",
        "GIT_AUTHOR_EMAIL": "reader@example.org", "GIT_COMMITTER_NAME": "reader",
        "GIT_COMMITTER_EMAIL": "reader@example.org"}  # fmt: skip


def prepare(root: Path, warm: Zygote, endpoint: FakeServer) -> None:
    """Fill a folder: `here` with tasks and runs, `mine` with a repository of the reader's own."""
    here, mine = root / "here", root / "mine"
    here.mkdir(parents=True)
    shutil.copytree(TASKS / "instant", here / "my-task")
    with (here / "my-task" / "task.toml").open("a") as file:
        file.write("\n[profiles.cpu.limits]\nwall_seconds = 600\n\n[profiles.gpu.limits]\nwall_seconds = 600\n")
    shutil.copytree(TASKS / "bigram_plain", here / "with-data")
    with (here / "with-data" / "task.toml").open("a") as file:
        file.write("\n[profiles.small.score]\nrounds = 1\n")
    (here / "my-script").mkdir()
    shutil.copy(TASKS / "instant" / "train.py", here / "my-script")
    shutil.copy(TASKS / "instant" / "train.py", here)
    shutil.copytree(Path(__file__).parents[2] / "examples", here / "examples")
    git = {**os.environ, **_GIT}
    mine.mkdir()
    shutil.copy(TASKS / "instant" / "train.py", mine)
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "mine"]):
        subprocess.run(["git", *argv], cwd=mine, env=git, check=True)
    model = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_MODEL": "obliging", "AUTOCENTAUR_CACHE": str(root / "cache")}
    begun = ["run", "--name", RUN, "--mode", "fixed", "--keep", "any"]
    killed = Death("after fsync runs/RUN/journal.jsonl", nth=2 * N_TRIALS + 1)
    assert warm.agent(*begun, "--task", "my-task", "--trials", "10", death=killed, cwd=here, **model) == -9, warm.said
    audited = ["--task", "with-data", "--trials", "2", "--runs", "audited"]
    assert warm.agent(*begun, *audited, cwd=here, **model) == 0, warm.said


@dataclass
class Reader:
    """Somebody who types what the page says, in a copy of the prepared folder."""

    prepared: Path
    root: Path
    warm: Zygote
    endpoint: FakeServer
    known: set[tuple[str, ...]]  # what went well from a fresh copy before, on another page: it is not done again
    exported: dict[str, str] = field(default_factory=dict)
    n_typed: int = 0

    def __post_init__(self) -> None:
        shutil.copytree(self.prepared, self.root, symlinks=True)
        self.at = self.root / "here"

    def type(self, line: str) -> Iterator[tuple[str, str | None]]:
        """Carry a line out, command by command, and yield each with why it failed; None if it did not."""
        for words in simple_commands(line):
            self.n_typed += 1
            yield " ".join(words), self._carry_out(words)

    def _carry_out(self, words: list[str]) -> str | None:
        match words:
            case ["cd", folder]:
                self.at /= folder
                return None if self.at.is_dir() else f"there is no folder {folder}"
            case ["export", *settings]:
                self.exported |= dict(setting.split("=", 1) for setting in settings)
                return None
            case ["agent", *rest]:
                return self._agent(rest)
            case ["git", *_]:
                return self._git(words)
        return None if not_run(words) else "no rule of tests/docs/rules.py says what to do with it"

    def _agent(self, words: list[str]) -> str | None:
        if not_run(words):
            return None
        commit = TrialRepo(RunsFolder(self.root / "here" / "runs").repo).tags(RUN)[A_COMMIT_IS]
        argv = rewritten(words, commit=commit[:7], name=f"night-{self.n_typed}")
        what = tuple(word for word in argv if not word.startswith("night-"))
        is_usual = self.at == self.root / "here" and not self.exported
        if is_usual and what in self.known:
            return None
        # Whatever endpoint the page names, it is ours that answers.
        asked = {"OPENAI_MODEL": "obliging", **self.exported, "OPENAI_BASE_URL": self.endpoint.base_url}
        code = self.warm.agent(*argv, cwd=self.at, AUTOCENTAUR_CACHE=str(self.prepared / "cache"), **asked)
        if code != ENDS_WITH.get(words[0], 0):
            return f"agent {shlex.join(argv)} ended with {code}: {self.warm.said[-1500:]}"
        if is_usual and words[0] not in WRITES_HERE:
            self.known.add(what)
        if words[0] in CHANGES_RUNS:  # the next line is to find RUN as it was, and as the last run
            shutil.rmtree(self.root / "here" / "runs")
            shutil.copytree(self.prepared / "here" / "runs", self.root / "here" / "runs", symlinks=True)
        return None

    def _git(self, words: list[str]) -> str | None:
        words = ["runs/trials.git" if word == "trials.git" else word for word in words]
        if words[1] == "clone" and len(words) == 3:
            words.append("trials")
        done = subprocess.run(
            words, cwd=self.at, env={**os.environ, **_GIT}, capture_output=True, text=True, check=False
        )
        return None if done.returncode == 0 else done.stderr


def simple_commands(line: str) -> list[list[str]]:
    """Return the commands that a line strings together with `&&`, without its comment and leading variables."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            commands.append([])
        elif commands[-1] or not (word.partition("=")[1] and word.split("=")[0].isupper()):
            commands[-1].append(word)
    return commands
