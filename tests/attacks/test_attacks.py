"""Hostile training scripts against every sandbox: what comes of each, and that the host is as it was before.

A script is one of `cases/` with the honest script of tests/tasks/bigram_plain behind it: an attack that comes to
nothing must leave the honest loss. `docs/security.md` lists the cases with what holds them.
"""

import dataclasses
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from agent.execution.judge import failure, judge, reported
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact
from agent.execution.training_job import export, training_job
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.text import read_tail
from agent.trials.trial import Outcome, Status
from sandbox import host_identity
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import OWNER
from sandbox.container.engine import Engine
from sandbox.job import Execution, Job, Sandbox
from tests.contracts.sandbox_contract import control_groups, processes_with
from tests.docker_engine import SANDBOXES, opened_sandbox

CASES = Path(__file__).parent / "cases"
SECRET = "sk-secret-of-the-host"


@dataclass(frozen=True)
class Case:
    """One attack and what must come of it. `numbers` are those of the list that the project began with."""

    name: str
    numbers: str
    expected: tuple[Status, ...]
    wall_seconds: float = 600.0
    processes: int = 64


OK, BAD, OOM = (Status.OK,), (Status.BAD_ARTIFACT,), (Status.OUT_OF_MEMORY,)
CRASHED, TIMED_OUT = (Status.CRASHED,), (Status.TIMED_OUT,)
ALL = (
    Case("network", "1 2", OK),
    Case("sockets", "3", OK),
    Case("secrets", "4", OK),
    Case("neighbours", "5 9", OK),
    Case("validation_data", "17", OK),
    Case("write_host", "6 10", OK),
    Case("kernel", "7", OK),
    Case("setuid_artifact", "8", OK),
    Case("output_tricks", "11", OK),
    # What it writes before it is killed is the script's own doing, and harms nobody else.
    Case("surviving_writer", "12", (Status.OK, Status.BAD_ARTIFACT)),
    Case("fake_metric", "13 31", OK),
    Case("inherited_files", "14", OK),
    Case("patched_judge", "15", OK),
    Case("early_exit", "16", BAD),
    Case("poisoned_pickle", "21", BAD),
    Case("endless_artifact", "22", BAD),
    Case("memory_bomb", "25", OOM),
    Case("memory_bomb_in_child", "26", OOM),
    Case("memory_of_many", "26", OOM),
    Case("fork_bomb", "28", CRASHED),
    Case("disk_fill", "29", OK),
    Case("empty_files", "29", (Status.OK, Status.OUT_OF_MEMORY)),  # stopped by a count, or by what they take
    Case("log_flood", "30", OK),
    Case("endless", "32", TIMED_OUT, wall_seconds=1.5),
    Case("daemon", "33", OK),
    Case("stopped_init", "34", TIMED_OUT, wall_seconds=1.5),
    Case("poisoned_cache", "36", OK),
    Case("processor_hog", "37", OK),
)


@pytest.fixture(scope="module", params=SANDBOXES)
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with closing(opened_sandbox(request.param)) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class Came:
    """What came of a script."""

    outcome: Outcome
    execution: Execution
    log: str
    paths: TrialPaths


def run_script(box: Sandbox, task: Task, corpus: Corpus, *, attack: str, folder: Path, case: Case, marker: str) -> Came:
    """Train the honest script with `attack` before it, and score what it leaves behind."""
    source = f'if __name__ == "__main__":\n    pass\n{textwrap.indent(attack, "    ")}\n{task.source}'
    paths = TrialPaths(folder)
    export({**task.files, task.script: source.encode()}, paths.files)
    needle = corpus.sequences("val")[0][:32].astype(np.uint16).tobytes().hex()
    # The attacker is told where to look: that it does not know the way must not be what holds it.
    known = {"HOST_PLACE": str(folder.parent), "HOST_NEEDLE": needle}
    job = training_job(
        task, corpus, paths, label="attack/0001/train", train_seed=0, baseline_cpu_seconds=None, passed_on=known
    )
    execution = box.run(armed(job, case, marker))
    log = read_tail(paths.log)
    failed, score = failure(execution, log, task.budget), None
    if failed is None:
        artifact = Artifact(paths.artifact, paths.files, log, paths.score, "attack/0001", 1)
        with closing(BubblewrapSandbox()) as fast:  # tests/attacks/score is about what happens there
            score = AuditedScorer(task, corpus, fast).score(artifact)
    outcome = judge(execution, failed, score, task.budget)
    return Came(dataclasses.replace(outcome, reported=reported(log)), execution, log, paths)


def armed(job: Job, case: Case, marker: str) -> Job:
    limits = dataclasses.replace(job.limits, wall_seconds=case.wall_seconds, memory_gb=0.5, processes=case.processes)
    return dataclasses.replace(job, argv=(*job.argv, marker), limits=limits)


@pytest.fixture(scope="module")
def honest(bigram: Task, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The loss of the script without an attack."""
    folder = tmp_path_factory.mktemp("honest") / "0001"
    with closing(BubblewrapSandbox()) as box:
        case = Case("honest", "", OK)
        came = run_script(box, bigram, corpus, attack="", folder=folder, case=case, marker="honest")
    assert came.outcome.val_loss is not None, came.log
    return came.outcome.val_loss


def host_state(folders: list[Path]) -> dict[str, str]:
    """Return what must not change: kernel settings, the given folders, the interpreter's folder."""
    state = {"core_pattern": Path("/proc/sys/kernel/core_pattern").read_text()}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                state[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    state["beside the interpreter"] = " ".join(sorted(os.listdir(Path(sys.prefix))))
    return state


def held() -> list[str]:
    """Return what the sandboxes of this process hold of the machine."""
    groups = sorted(control_groups(os.getpid()))
    if Path("/var/run/docker.sock").exists():
        with Engine() as engine:
            groups += [
                name for name, started_by in engine.labelled(OWNER).items() if started_by == host_identity.process_id()
            ]
    return groups


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_attack(  # noqa: PLR0917 (fixtures)
    case: Case,
    box: Sandbox,
    bigram: Task,
    corpus: Corpus,
    honest: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    marker = uuid.uuid4().hex
    trials = tmp_path / "trials"
    repository = trials / "other.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    before = host_state([bigram.folder, corpus.folder, repository])

    attack = (CASES / f"{case.name}.py").read_text()
    came = run_script(box, bigram, corpus, attack=attack, folder=trials / "0001", case=case, marker=marker)
    if case.name == "poisoned_cache":  # whose harm would come in the next trial
        came = run_script(box, bigram, corpus, attack=attack, folder=trials / "0002", case=case, marker=marker)
    record_property("verdict", f"{case.name}: {came.outcome.status} ({came.outcome.reason or 'honest loss'})")

    assert "BREACH" not in came.log
    assert SECRET not in came.log
    assert came.outcome.status in case.expected, f"{came.outcome.reason}\n{came.log[-2000:]}"
    if came.outcome.status is Status.OK:
        assert came.outcome.val_loss == pytest.approx(honest, abs=1e-4)  # the audit draws its positions anew
    assert host_state([bigram.folder, corpus.folder, repository]) == before
    assert (processes_with(marker), held(), os.listdir(temporary)) == ([], [], [])
    assert not (trials / "exploded").exists()
    limits = bigram.limits
    artifact, log = came.paths.artifact.lstat(), came.paths.log.lstat()
    assert stat.S_ISREG(artifact.st_mode)
    assert (stat.S_IMODE(artifact.st_mode), artifact.st_uid, artifact.st_nlink) == (0o600, os.geteuid(), 1)
    assert artifact.st_size <= limits.output_mb * 2**20
    assert log.st_size <= limits.log_mb * 2**20 + 200
    assert not set(came.paths.log.read_text()) & {chr(code) for code in (*range(9), *range(11, 32), 127)}
    if case.name == "processor_hog":
        assert came.execution.cpu_seconds is not None
        assert came.execution.cpu_seconds < 1.5 * limits.cpus * came.execution.wall_seconds


def test_every_case_is_in_the_table() -> None:
    assert sorted(path.stem for path in CASES.glob("*.py")) == sorted(case.name for case in ALL)
