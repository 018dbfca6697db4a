"""A rehearsal costs seconds, finds what a trial would die of, and lets everything else pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.edits.edit import Unchanged
from agent.edits.guard import Guard
from agent.execution.executor import Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.smoke_test import MAX_TRIES, Smoke, SmokeResult
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import ScriptedModel
from agent.modes.code_edit import CodeEditProposer
from agent.modes.prompting.trial_digest import Briefing
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.paths import RunPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.text import Say
from agent.trials.trial import Outcome, Proposal, Status, Trial
from sandbox.job import Execution, Job, Sandbox, StoppedBy

BRIEFING = Briefing("train.py", "val_bpb", False, ("prepare.py", "score.py"), "4 steps")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def smoke(bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path, lines: list[str]) -> Smoke:
    return made(bigram, corpus, sandbox, tmp_path, lines.append)


def made(task: Task, corpus: Corpus, box: Sandbox, folder: Path, say: Say, *, on_gpu: bool = False) -> Smoke:
    scorer = AuditedScorer(task, corpus, box)
    executor = Executor(task, corpus, box, scorer, {}, folder / "compiled.tar", {})
    return Smoke(executor, RunPaths(folder / "r"), say=say, on_gpu=on_gpu)


class OneSecond:
    """A sandbox by whose clock every job takes a second."""

    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner

    def run(self, job: Job) -> Execution:
        return replace(self._inner.run(job), wall_seconds=1.0)

    def close(self) -> None:
        pass


def test_the_baseline_passes_and_sets_the_limit(bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path) -> None:
    smoke = made(bigram, corpus, OneSecond(sandbox), tmp_path, print)
    first = smoke(bigram.source, 1)
    again = smoke(bigram.source, 2)
    assert first.failed is None
    assert (first.seconds, again.seconds) == (4.0, 2.0)  # the first one includes the baseline's own
    assert "step 00001 progress 1.000" in (tmp_path / "r/trials/0001/smoke/train.log").read_text()


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ("counts[token]", "count[token]", Status.CRASHED, "count"),
        ("math.log(share)", "math.log(shore)", Status.CRASHED, "shore"),
        ("open(path)", "open(path + '.json')", Status.CRASHED, "No such file"),
        ("        json.dump(table, file)", "        pass", Status.BAD_ARTIFACT, "no model was saved"),
        ("    rng =", "    sys.exit('FAIL: diverged: nan')\n    rng =", Status.DIVERGED, "diverged"),
    ],
)
def test_what_a_trial_would_die_of_is_found(
    *, smoke: Smoke, bigram: Task, old: str, new: str, status: Status, words: str
) -> None:
    assert bigram.source.count(old) == 1
    result = smoke(bigram.source.replace(old, new), 1)
    assert result.failed is status
    assert words in result.reason
    assert result.log


def test_what_is_merely_slow_passes(smoke: Smoke, bigram: Task) -> None:
    assert smoke(bigram.source.replace("    rng =", "    while True: pass\n    rng ="), 1).failed is None


def test_a_task_that_cannot_be_rehearsed_is_reported_once(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path, lines: list[str]
) -> None:
    picky = bigram.source.replace("    rng =", "    assert os.environ['TRAIN_BUDGET'] == '4'\n    rng =")
    task = Task(bigram.folder, {**bigram.files, "train.py": picky.encode()}, "small")
    smoke = made(task, corpus, sandbox, tmp_path, lines.append)
    assert smoke("raise SystemExit('broken')", 1).failed is None
    assert smoke("raise SystemExit('broken')", 2).seconds == 0
    assert len(lines) == 1


def test_a_task_that_is_too_slow_for_a_rehearsal_is_tried_three_times_and_reported_once(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path, lines: list[str]
) -> None:
    slow = bigram.source.replace("    rng =", "    time.sleep(600)\n    rng =")
    config = bigram.files["task.toml"].replace(b"wall_seconds = 300", b"wall_seconds = 1")
    task = Task(bigram.folder, {**bigram.files, "task.toml": config, "train.py": slow.encode()}, "small")
    smoke = made(task, corpus, sandbox, tmp_path, lines.append)
    for number in range(1, MAX_TRIES):
        result = smoke(bigram.source, number)
        assert (result.failed, result.why_none) == (None, "the machine is too busy")
        assert lines == []
    assert smoke(bigram.source, MAX_TRIES).seconds > 0
    assert smoke(bigram.source, MAX_TRIES + 1).seconds == 0
    assert len(lines) == 1
    assert "--smoke-on gpu" in lines[0]


def test_a_machine_that_is_busy_once_does_not_end_the_rehearsals(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path, lines: list[str]
) -> None:
    class BusyAtFirst(OneSecond):
        n_jobs = 0

        def run(self, job: Job) -> Execution:
            self.n_jobs += 1
            done = super().run(job)
            return replace(done, stopped_by=StoppedBy.WALL_LIMIT) if self.n_jobs == 1 else done

    smoke = made(bigram, corpus, BusyAtFirst(sandbox), tmp_path, lines.append)
    broken = bigram.source.replace("    rng =", "    raise SystemExit('broken')\n    rng =")
    assert smoke(broken, 1).why_none == "the machine is too busy"
    assert smoke(broken, 2).failed is Status.CRASHED
    assert lines == []


def test_a_rehearsal_uses_a_gpu_only_on_request(bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path) -> None:
    asked: list[bool] = []

    class Listening:
        def run(self, job: Job) -> Execution:
            asked.append(not job.on_cpu)
            return sandbox.run(job)

        def close(self) -> None:
            pass

    for number, on_gpu in enumerate((False, True), start=1):
        made(bigram, corpus, Listening(), tmp_path, print, on_gpu=on_gpu)(bigram.source, number)
    assert asked == [False] * 4 + [True] * 4


def reply(search: str, replace: str) -> str:
    return f"TITLE: a change\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"


MIX = "MIX = 0.5  # share of the pair frequencies; the rest is the single-token frequencies"


def test_a_typo_is_mended_by_its_traceback_and_charged(
    open_run: Callable[..., Run], smoke: Smoke, bigram: Task
) -> None:
    model = ScriptedModel(
        [
            reply(MIX, "MIX = 0.9 * one"),
            reply(MIX, "MIX = 0.9"),
            reply("MIX = 0.9", "MIX = one"),
            reply("MIX = 0.9", "MIX = two"),
        ]
    )
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    run = open_run(CodeEditProposer(lambda _: model, prompts, BRIEFING, Guard(("load",)), rehearse=smoke), trials=3)
    run_trials(run)
    mended, broken = run.history.trials[1:]
    assert mended.status is Status.OK
    assert mended.proposal.smoke_seconds > 0
    assert "NameError: name 'one' is not defined" in model.requests[1][-1].content
    assert broken.status is Status.CRASHED  # after one repair, though a third reply was allowed
    assert broken.proposal.usage is not None
    assert broken.proposal.usage.calls == 2
    assert "name 'two' is not defined" in broken.proposal.reason
    assert b"MIX = two" in run.records.repo.read("r/0002")["train.py"]  # nothing that was tried is lost


def printed_task(folder: Path, code: str) -> Task:
    config = """[task]
name = "tiny"
[score]
kind = "printed"
[budget]
unit = "work"
amount = 1
counted_by = "script"
[limits]
wall_seconds = 60
memory_gb = 0.5
"""
    return Task(folder, {"task.toml": config.encode(), "train.py": code.encode()})


def rehearsing(task: Task, box: Sandbox, folder: Path, say: Say, first: Outcome | None = None) -> Smoke:
    executor = Executor(task, None, box, PrintedScorer(task.metric), {}, folder / "compiled.tar", {})
    return Smoke(
        executor,
        RunPaths(folder / "r"),
        say=say,
        finished=[Trial(0, None, Proposal("baseline", "", Unchanged()), "", first)] if first else [],
    )


def test_a_script_whose_training_cannot_be_made_short_is_not_rehearsed(
    sandbox: Sandbox, tmp_path: Path, lines: list[str]
) -> None:
    task = printed_task(tmp_path, "LR = 0.1\nfor step in range(3): print(step)\n")
    smoke = rehearsing(task, sandbox, tmp_path, lines.append)
    for number in (1, 2):
        result = smoke("raise SystemExit('broken')", number)
        assert result == SmokeResult(0.0, why_none="the training of this task's script cannot be made short")
    assert len(lines) == 1
    assert "train.py does not read TRAIN_BUDGET" in lines[0]
    assert not (tmp_path / "r/trials").exists()


def test_a_budget_under_a_known_name_is_one_in_a_rehearsal(sandbox: Sandbox, tmp_path: Path, lines: list[str]) -> None:
    code = "LR = 0.1\nMAX_STEPS = 30\nfor step in range(MAX_STEPS): print('step', step)\n"
    smoke = rehearsing(printed_task(tmp_path, code), sandbox, tmp_path, lines.append)
    assert smoke(code.replace("0.1", "0.2"), 1).failed is None
    assert (tmp_path / "r/trials/0001/smoke/train.log").read_text() == "step 0\n"
    assert smoke(code.replace("0.1", "one"), 2).failed is Status.CRASHED
    not_short = SmokeResult(0.0, why_none="its training cannot be made short")
    assert smoke("raise SystemExit('no budget any more')", 3) == not_short
    assert lines == []


def test_a_rehearsal_takes_at_most_a_share_of_the_baselines_time(sandbox: Sandbox, tmp_path: Path) -> None:
    limits: list[tuple[float, float | None]] = []

    class Watched(OneSecond):
        def run(self, job: Job) -> Execution:
            limits.append((job.limits.wall_seconds, job.limits.cpu_seconds))
            return super().run(job)

    code = "MAX_STEPS = 3\n"
    for wall, cpu in ((200.0, 100.0), (8.0, 4.0), (36.0, 6.0)):
        first = Outcome(Status.OK, val_loss=1.0, train_seconds=wall, wall_seconds=wall, cpu_seconds=cpu)
        rehearsing(printed_task(tmp_path, code), Watched(sandbox), tmp_path, print, first)(code, 1)
    assert limits[0] == (50.0, 25.0)
    assert limits[2] == (10.0, 5.0)
    assert limits[4] == (18.0, 5.0)  # on a busy machine: half of the baseline's wall time
