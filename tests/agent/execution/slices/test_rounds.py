"""Rounds with real sandboxes: what an honest model comes to, and what a hostile one can do about it."""

import hashlib
import math
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.execution.scoring.audit_jobs import AuditJobs
from agent.execution.scoring.scorer import Artifact
from agent.execution.scoring.scoring_job import START_CPU_SECONDS, START_WALL_SECONDS
from agent.execution.slices import rounds as rounds_module
from agent.execution.slices.committed import Committed
from agent.execution.slices.rounds import (
    COMMITTED,
    FOLDER,
    NOT_FINITE,
    SILENT,
    TOO_MUCH,
    Answered,
    RoundLimits,
    Rounds,
    payload,
)
from agent.execution.slices.rounds_rehearsal import LACKS_ROUNDS, why_no_rounds
from agent.execution.slices.source import Burned, Contender
from agent.execution.slots import Slot, SlotSandbox, StoppedError, in_slot
from agent.execution.training_job import export, training_job
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Score
from sandbox.container.docker_sandbox import DockerSandbox
from sandbox.container.image import ImageSpec
from sandbox.errors import SandboxError
from sandbox.interpreter import own_interpreter
from sandbox.job import Execution, Job, Sandbox
from tests.contracts.sandbox_contract import processes_with
from tests.docker_engine import skip_without_docker

N, R, V = 6, 3, 27
LONG = RoundLimits(round_seconds=120.0, cpu_seconds=60.0)
SHORT = RoundLimits(round_seconds=0.3, cpu_seconds=60.0)  # for who never answers: then no machine is too slow
UNIFORM = np.full(N, math.log(V))

# Takes the score program's place before that asks for anything. `again` waits for the next question.
HOSTILE = """
if sys.argv[1:] == ["rounds"]:
    asked = open(os.environ["SCORE_QUESTIONS"], "rb", 0)
    answers = os.open(os.environ["SCORE_OUTPUT"], os.O_RDWR)
    size = 4 * 27 * int(os.environ["SCORE_SEQUENCES"])
    uniform = bytes(size)
    def bytes_of(n):
        data = b""
        while len(data) < n:
            data += asked.read(n - len(data)) or time.sleep(0.005) or b""
        return data
    def again():
        return bytes_of(int.from_bytes(bytes_of(4), "little"))
"""


@dataclass(frozen=True)
class Cut:
    """A slice of the tests."""

    sequences: NDArray[np.uint16]
    ends: NDArray[np.int64]

    @property
    def n_rounds(self) -> int:
        return self.ends.shape[1]

    def question(self, r: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        ends = self.ends[:, r]
        width = int(ends.max()) + 1
        shown = np.arange(width) <= ends[:, None]
        return np.where(shown, self.sequences[:, :width], 0).astype(np.uint16), ends

    def targets(self, r: int) -> NDArray[np.int64]:
        return self.sequences[np.arange(len(self.sequences)), self.ends[:, r] + 1].astype(np.int64)


@dataclass
class Watching:
    """Looks, before a round is put on the disk, which questions there are."""

    folder: Path
    answers: list[tuple[str, int, str]] = field(default_factory=list)
    shown: list[dict[str, int]] = field(default_factory=list)  # bytes of each model's questions

    def __call__(self, model: str, r: int, digest: str) -> None:
        self.answers.append((model, r, digest))
        files = (self.folder / FOLDER).glob("*-questions.bin")
        self.shown.append({path.name.partition("-")[0]: path.stat().st_size for path in files})


@pytest.fixture(scope="module")
def trained(bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    paths = TrialPaths(tmp_path_factory.mktemp("trained"))
    export(bigram.files, paths.files)
    job = training_job(
        bigram, corpus, paths, label="r/0000/train", train_seed=0, baseline_cpu_seconds=None, passed_on={}
    )
    assert sandbox.run(job).exit_code == 0
    return paths


@pytest.fixture(scope="module")
def cut(corpus: Corpus) -> Cut:
    rng = np.random.default_rng(0)
    bounds = np.arange(R + 1) * corpus.length // R
    return Cut(corpus.sequences("val")[:N], rng.integers(bounds[:-1], bounds[1:], size=(N, R)))


Make = Callable[..., Contender]


@pytest.fixture
def model(trained: TrialPaths, bigram: Task, tmp_path: Path) -> Make:
    """Return a function that makes a contender of the honest script with some lines behind it."""

    def made(name: str = "challenger", behind: str = "") -> Contender:
        files = tmp_path / f"files-{name}"
        export({**bigram.files, "train.py": f"{bigram.source}\n{behind}\n".encode()}, files)
        return Contender(name, trained.artifact, files)

    return made


Ask = Callable[..., Answered | Burned]


@pytest.fixture
def ask(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, cut: Cut, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ask:
    def asked(
        *models: Contender,
        commit: Callable[[str, int, str], None] = lambda *_: None,
        limits: RoundLimits = LONG,
        box: Sandbox = sandbox,
    ) -> Answered | Burned:
        class Watched(Committed):
            def append(self, hashes: Mapping[str, str], losses: Mapping[str, NDArray[np.float64]]) -> None:
                for name, digest in hashes.items():
                    commit(name, self.n_rounds, digest)
                super().append(hashes, losses)

        monkeypatch.setattr(rounds_module, "Committed", Watched)
        rounds = Rounds(bigram, corpus, box)
        return rounds.ask(cut, models, folder=tmp_path, label="RUN/0001", limits=limits)

    return asked


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def box(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Sandbox]:
    if request.param == "bubblewrap":
        yield sandbox
        return
    skip_without_docker()
    with closing(DockerSandbox(ImageSpec(python=own_interpreter()))) as docker:
        yield docker


def n_bytes(cut: Cut, n_rounds: int) -> int:
    """Return how large a file of that many questions is."""
    return sum(4 + len(payload(*cut.question(r))) for r in range(n_rounds))


def hostile(model: Make, code: str) -> Contender:
    indented = "".join(f"    {line}\n" for line in code.strip("\n").split("\n"))
    return model("challenger", f"{HOSTILE}{indented}    os._exit(0)")


# Honest models


@pytest.mark.slow
def test_the_losses_are_the_claims_at_the_same_positions_and_every_answer_is_committed_before_more_is_shown(
    ask: Ask, model: Make, box: Sandbox, cut: Cut, *, bigram: Task, corpus: Corpus, tmp_path: Path
) -> None:
    slow = "honest = load\nload = lambda path: lambda rows: time.sleep(0.1) or honest(path)(rows)"
    watching = Watching(tmp_path)
    found = ask(model("baseline"), model("champion", slow), model("challenger"), commit=watching, box=box)
    assert isinstance(found, Answered), found
    challenger = model("challenger")
    asking = AuditJobs(bigram, corpus, box, Artifact(challenger.artifact, challenger.files, "", tmp_path, "RUN/1", 1))
    claimed = asking.claim(cut.sequences)
    assert not isinstance(claimed, tuple)
    for losses in found.losses.values():
        np.testing.assert_allclose(losses, np.take_along_axis(claimed, cut.ends, axis=1), atol=1e-5)

    names = ["baseline", "champion", "challenger"]
    assert [(name, r) for name, r, _ in watching.answers] == [(name, r) for r in range(R) for name in names]
    for (_, r, _), shown in zip(watching.answers, watching.shown, strict=True):
        assert shown == dict.fromkeys(names, n_bytes(cut, r + 1))
    digests = {digest for _, r, digest in watching.answers if r == 0}
    assert len(digests) == 1  # the same model three times
    assert not (tmp_path / FOLDER).exists()


def test_each_digest_is_that_of_the_answer_that_was_scored(ask: Ask, model: Make, tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    found = ask(hostile(model, f"for _ in range({R}): again(); os.write(answers, uniform)"), commit=watching)
    assert isinstance(found, Answered), found
    np.testing.assert_allclose(found.losses["challenger"], np.tile(UNIFORM, (R, 1)).T)
    expected = hashlib.sha256(bytes(4 * N * V)).hexdigest()
    assert [digest for _, _, digest in watching.answers] == [expected] * R


def test_after_a_kill_only_the_rounds_are_asked_that_were_not_answered(
    ask: Ask, model: Make, cut: Cut, tmp_path: Path
) -> None:
    models = [model("baseline"), model("challenger")]
    whole = ask(*models)
    assert isinstance(whole, Answered)
    path = tmp_path / COMMITTED
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == R
    for n_there in range(R + 1):
        path.write_bytes(b"".join(lines[:n_there]) + (lines[n_there][:50] if n_there < R else b""))
        # It answers a question of this number by uniform logits, so the count of them shows where it began.
        late = hostile(model, f"for _ in range({R - n_there}): again(); os.write(answers, uniform)")
        found = ask(models[0], late)
        assert isinstance(found, Answered), found
        np.testing.assert_array_equal(found.losses["baseline"], whole.losses["baseline"])
        np.testing.assert_array_equal(found.losses["challenger"][:, :n_there], whole.losses["challenger"][:, :n_there])
        np.testing.assert_allclose(found.losses["challenger"][:, n_there:], math.log(V))
        assert path.read_bytes().splitlines(keepends=True)[:n_there] == lines[:n_there]


# Hostile ones


def test_an_answer_that_is_written_over_once_the_target_is_shown_counts_as_it_was_read(
    ask: Ask, model: Make, box: Sandbox
) -> None:
    code = f"""
for r in range({R}):
    again()  # from the second on, it shows the targets of the last
    for earlier in range(r):
        os.pwrite(answers, b"\\xff" * size, earlier * size)
    os.pwrite(answers, uniform, r * size)
"""
    found = ask(hostile(model, code), box=box)
    assert isinstance(found, Answered), found
    np.testing.assert_allclose(found.losses["challenger"], np.tile(UNIFORM, (R, 1)).T)


def test_before_it_has_answered_a_job_finds_no_more_than_its_prefixes_and_cannot_change_them(
    ask: Ask, model: Make, box: Sandbox, tmp_path: Path
) -> None:
    code = f"""
name = os.environ["SCORE_QUESTIONS"]
for r in range({R}):
    again()
    time.sleep(0.1)
    print("more:", len(asked.read()), flush=True)
    for act in (
        lambda: open(name, "ab"), lambda: os.truncate(name, 0), lambda: os.unlink(name), lambda: os.chmod(name, 0o666),
        lambda: os.rename(name, "/data/other"), lambda: os.link(name, "/tmp/link"), lambda: os.symlink("/x", name),
        lambda: os.unlink("/out/artifact"), lambda: os.link("/out/artifact", "/tmp/link"), lambda: os.mkfifo("/data/f"),
    ):
        try:
            print("DONE", act(), flush=True)
        except OSError:
            pass
    print(os.listdir("/data"), flush=True)
    os.write(answers, uniform)
"""
    found = ask(hostile(model, code), box=box)
    assert isinstance(found, Answered), found
    assert (tmp_path / "rounds-challenger.log").read_text() == "more: 0\n['questions.bin']\n" * R


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("again(); again(); os.write(answers, uniform * 2)", SILENT),
        ("time.sleep(600)", SILENT),
        ("os.truncate(answers, 0); again(); os.truncate(answers, size // 2); time.sleep(600)", SILENT),
    ],
    ids=["waits for the next question", "sleeps", "half an answer"],
)
def test_who_does_not_answer_what_it_was_shown_is_shown_no_more(
    ask: Ask, model: Make, code: str, reason: str, tmp_path: Path
) -> None:
    watching = Watching(tmp_path)
    found = ask(hostile(model, code), commit=watching, limits=SHORT)
    assert isinstance(found, Burned)
    assert (found.model, found.reason) == ("challenger", reason)
    assert (watching.answers, found.jobs[0]["stopped_by"]) == ([], "caller")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("again(); os.write(answers, uniform * 2)", TOO_MUCH),
        ("again(); os.write(answers, uniform * 100)", TOO_MUCH),
        ("again(); os.write(answers, uniform); again(); os.write(answers, uniform[:-4])", "too short or too long"),
        ("again(); os.write(answers, b'\\xff' * size)", NOT_FINITE),
        ("again(); os.write(answers, uniform); again(); os._exit(42)", "the model could not be loaded or used"),
        ("again(); os.write(answers, uniform); os.kill(os.getpid(), 11)", "ended by its signal"),
        ("pass", "too short or too long"),
    ],
    ids=["too much", "more than it can", "too little", "not a number", "dies", "is killed", "says nothing"],
)
def test_one_that_fails_burns_the_slice_for_all_and_ends_the_others(
    ask: Ask, model: Make, code: str, reason: str
) -> None:
    found = ask(model("baseline"), hostile(model, code))
    assert isinstance(found, Burned)
    assert found.model == "challenger"
    assert reason in found.reason
    assert re.search(r"\d", found.reason) is None
    assert (found.jobs[0]["job"], found.jobs[0]["stopped_by"]) == ("baseline", "caller")


def test_who_computes_while_others_answer_is_stopped_by_its_cpu_seconds(ask: Ask, model: Make) -> None:
    found = ask(hostile(model, "while True: pass"), limits=replace(LONG, cpu_seconds=0.5))
    assert isinstance(found, Burned)
    assert found.reason == "the scoring job was ended by its cpu limit"


# The host's own trouble


def test_ctrl_c_ends_all_jobs_and_threads(ask: Ask, model: Make, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex

    def press_once_it_runs() -> None:
        while not processes_with(marker):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    presses = threading.Thread(target=press_once_it_runs)
    presses.start()
    sleep = f"os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(600)', '{marker}'])"
    with pytest.raises(KeyboardInterrupt):
        ask(model("baseline"), hostile(model, sleep))
    presses.join()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    assert processes_with(marker) == []
    assert not (tmp_path / FOLDER).exists()


def test_the_stop_of_a_run_ends_all_jobs_and_threads_and_burns_nothing(
    ask: Ask, model: Make, sandbox: Sandbox, tmp_path: Path
) -> None:
    marker, stop = uuid.uuid4().hex, threading.Event()

    def stop_once_it_runs() -> None:
        while not processes_with(marker):
            time.sleep(0.01)
        stop.set()

    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    stops = threading.Thread(target=stop_once_it_runs)
    stops.start()
    sleep = f"os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(600)', '{marker}'])"
    with pytest.raises(StoppedError, match=r"RUN/0001/rounds-(baseline|challenger) was stopped with its run"):
        in_slot(Slot(0), stop, lambda: ask(model("baseline"), hostile(model, sleep), box=SlotSandbox(sandbox)))
    stops.join()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    assert processes_with(marker) == []
    assert not (tmp_path / FOLDER).exists()


def test_a_commit_that_fails_shows_nobody_more(ask: Ask, model: Make, cut: Cut, tmp_path: Path) -> None:
    watching = Watching(tmp_path)

    def commit(name: str, r: int, digest: str) -> None:
        watching(name, r, digest)
        if (name, r) == ("challenger", 1):
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        ask(model("baseline"), model("challenger"), commit=commit)
    assert watching.answers[-1][:2] == ("challenger", 1)
    assert watching.shown[-1] == dict.fromkeys(("baseline", "challenger"), n_bytes(cut, 2))


def test_a_sandbox_that_fails_is_no_models_fault(ask: Ask, model: Make) -> None:
    gone = replace(model("champion"), artifact=Path("/no/such/file"))
    with pytest.raises(SandboxError, match="cannot mount"):
        ask(model("baseline"), gone)


# What the run asks beforehand


def test_a_score_program_without_rounds_is_found_out_without_a_slice(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, model: Make, tmp_path: Path
) -> None:
    rounds, score = Rounds(bigram, corpus, sandbox), Score(1.0, "audited", wall_seconds={"audit": 1.0})
    able, unable = model("baseline"), model("champion")
    program = unable.files / "score.py"
    text = program.read_text().replace('== "rounds"', '== "something else"')
    program.chmod(0o644)
    program.write_text(text)

    def why(contender: Contender) -> str | None:
        return why_no_rounds(rounds, corpus, contender, score, folder=tmp_path / "asked", label="RUN/0000")

    assert why(able) is None
    assert (why(unable) or "").startswith(LACKS_ROUNDS)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (None, RoundLimits(300.0, None)),
        (Score(1.0, "audited"), RoundLimits(300.0, None)),
        (
            Score(1.0, "audited", cpu_seconds={"audit": 2.0}, wall_seconds={"audit": 3.0}),
            RoundLimits(8.0 * 3.0 * 2 + START_WALL_SECONDS, 8.0 * 2.0 + START_CPU_SECONDS),
        ),
    ],
    ids=["no baseline", "an old journal", "known"],
)
def test_jobs_may_take_what_an_audit_of_the_baseline_took(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, cut: Cut, *, baseline: Score | None, expected: RoundLimits
) -> None:
    assert Rounds(bigram, corpus, sandbox).limits(cut, 2, baseline) == expected


class Busy:
    """A sandbox that begins with a job only once the clock has jumped by a day: all GPUs were in use."""

    def __init__(self, inside: Sandbox) -> None:
        self.inside = inside
        self.n_looks = 0

    def clock(self) -> float:
        self.n_looks += 1
        return time.monotonic() + (86_400.0 if self.n_looks > 3 else 0.0)

    def run(self, job: Job) -> Execution:
        until = time.monotonic() + 10.0
        while self.n_looks < 10 and time.monotonic() < until:
            time.sleep(0.005)
        return self.inside.run(job)

    def close(self) -> None:
        """Nothing is held."""


def test_a_job_that_waits_for_a_gpu_is_not_late(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, cut: Cut, model: Make, *, tmp_path: Path
) -> None:
    busy = Busy(sandbox)
    rounds = Rounds(bigram, corpus, busy, clock=busy.clock)
    found = rounds.ask(cut, [model()], folder=tmp_path, label="RUN/0001", limits=LONG)
    assert isinstance(found, Answered), found
