"""The loop with real git, a real sandbox and a real script; only the proposals are written beforehand."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.edits.edit import Unchanged, WholeFile
from agent.modes.proposer import Context
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.git_repo import trailers
from agent.store.journal import read_events, read_history
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal, Status
from sandbox.errors import SandboxError
from sandbox.job import Execution, Job, Sandbox

OpenRunWith = Callable[..., Run]

BETTER = Assignments({"MIX": 0.9, "SMOOTHING": 1.0, "STRIDE": 1})
WORSE = Assignments({"MIX": 0.0})


def proposal(edit: Assignments | WholeFile, title: str = "a change") -> Proposal:
    return Proposal(Origin.LLM, title, edit)


class Scripted:
    """Proposes what it was given, in order, whatever it sees; remembers what it saw."""

    def __init__(self, *proposals: Proposal) -> None:
        self._proposals = proposals
        self.seen: list[Context] = []

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        return self._proposals[context.number - 1]


def statuses(run: Run) -> list[tuple[str, bool]]:
    return [(str(trial.status), trial.kept) for trial in run.history.trials]


def test_a_run_keeps_what_is_better_and_reverts_the_rest(open_run: OpenRunWith) -> None:
    proposer = Scripted(proposal(WORSE), proposal(BETTER), proposal(Assignments({"MIX": 0.1})))
    run = open_run(proposer, trials=4)
    end = run_trials(run)
    assert end.ending is EndReason.DONE
    assert statuses(run) == [("ok", True), ("ok", False), ("ok", True), ("ok", False)]
    # Each trial is a commit on its parent; the branch is the ratchet; the worktree shows the incumbent.
    assert sorted(run.records.repo.tags("r")) == [0, 1, 2, 3]
    assert run.records.repo.branch("r") == run.records.repo.tag("r", 2)
    assert "MIX = 0.9" in (run.paths.worktree / "train.py").read_text()
    assert [trial.parent for trial in run.history.trials] == [None, 0, 0, 2]
    # The proposer of trial 3 saw the incumbent's script, and only finished trials.
    source_of = [context.source for context in proposer.seen]
    assert "MIX = 0.5" in source_of[1]
    assert "MIX = 0.9" in source_of[2]
    assert [context.incumbent.number for context in proposer.seen] == [0, 0, 2]


def test_trailers_and_table_tell_what_the_journal_tells(open_run: OpenRunWith) -> None:
    run = open_run(Scripted(proposal(BETTER, "mix\tmore\nKept: no")), trials=2)
    run_trials(run)
    trailer = trailers(run.records.repo.message("r/0001"))
    trial = run.history.trials[1]
    assert trailer["Val-Loss"] == repr(trial.val_loss)
    assert (trailer["Run"], trailer["Trial"], trailer["Kept"], trailer["Status"]) == ("r", "1", "provisional", "ok")
    assert trailer["Budget"] == "4 steps, cooperative"
    rows = [line.split("\t") for line in run.paths.results_tsv.read_text().splitlines()]
    assert rows[0] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert [row[3] for row in rows[1:]] == ["keep", "keep"]
    assert rows[2][4] == "mix more Kept: no"
    assert all(len(row) == 5 for row in rows)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("raise SystemExit('no')", Status.CRASHED),
        ("print('FAIL: diverged: loss is nan at step 3'); raise SystemExit(1)", Status.DIVERGED),
        ("x = []\nwhile True: x.append(bytearray(1 << 24))", Status.OUT_OF_MEMORY),
        ("while True: pass", Status.TIMED_OUT),
        ("pass", Status.BAD_ARTIFACT),
        ("print('torch.OutOfMemoryError: CUDA out of memory')", Status.OUT_OF_MEMORY),  # caught, and the end hidden
        ("import os; open(os.environ['TRAIN_OUTPUT'], 'wb').write(b'not an array')", Status.BAD_ARTIFACT),
    ],
)
def test_a_failure_has_its_status_no_loss_and_costs_what_it_took(
    open_run: OpenRunWith, script: str, status: Status
) -> None:
    run = open_run(Scripted(proposal(WholeFile(f"{script}\n"))), trials=2)
    run_trials(run)
    outcome = run.history.trials[1].outcome
    assert outcome is not None
    assert (outcome.status, outcome.val_loss, outcome.kept) == (status, None, False)
    assert outcome.train_seconds == outcome.wall_seconds > 0
    assert outcome.reason
    assert run.records.repo.branch("r") == run.records.repo.tag("r", 0)
    assert not run.paths.trial(1).artifact.exists()
    blank = run.paths.results_tsv.read_text().splitlines()[2].split("\t")
    assert (blank[1], blank[3]) == ("", "crash")


def test_a_score_that_is_no_number_is_rejected(open_run: OpenRunWith) -> None:
    source = (Path(__file__).parents[2] / "tasks" / "bigram_plain" / "train.py").read_text()
    cheat = source.replace("math.log(share)", "math.log(share) * math.nan")
    assert cheat != source
    run = open_run(Scripted(proposal(WholeFile(cheat))), trials=2)
    run_trials(run)
    assert statuses(run)[1] == ("rejected_score", False)


def test_what_cannot_run_costs_nothing_and_is_a_trial_all_the_same(open_run: OpenRunWith) -> None:
    refused = Proposal(Origin.LLM, "again", Unchanged(), refused=Status.DUPLICATE, reason="trial 0 again")
    run = open_run(Scripted(refused), trials=2)
    run_trials(run)
    outcome = run.history.trials[1].outcome
    assert outcome is not None
    assert (outcome.status, outcome.train_seconds, outcome.reason) == (Status.DUPLICATE, 0.0, "trial 0 again")
    assert run.records.repo.read("r/0001") == run.records.repo.read("r/0000")
    assert not run.paths.trial(1).files.exists()


def test_an_edit_is_applied_once_and_the_worktree_shows_the_incumbent_until_the_verdict(
    open_run: OpenRunWith, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[Assignments] = []
    shown: list[str] = []
    apply = Assignments.apply

    class Looking:
        """A sandbox that looks at the worktree while trial 1 trains."""

        def run(self, job: Job) -> Execution:
            if job.label == "r/0001/train":
                shown.append((run.paths.worktree / "train.py").read_text())
            return sandbox.run(job)

        def close(self) -> None:
            pass

    def counted(self: Assignments, source: str) -> str:
        applied.append(self)
        return apply(self, source)

    monkeypatch.setattr(Assignments, "apply", counted)
    run = open_run(Scripted(proposal(BETTER)), trials=2, box=Looking())
    run_trials(run)
    assert applied == [BETTER]
    assert shown == [run.executor.task.source]
    assert (run.paths.worktree / "train.py").read_text() == apply(BETTER, run.executor.task.source)


def test_an_edit_without_effect_is_not_kept(open_run: OpenRunWith) -> None:
    source = (Path(__file__).parents[2] / "tasks" / "bigram_plain" / "train.py").read_text()
    run = open_run(Scripted(proposal(WholeFile(source + "# nothing\n"))), trials=2)
    run_trials(run)
    assert run.history.trials[1].val_loss == run.history.trials[0].val_loss
    assert statuses(run)[1] == ("ok", False)


def test_the_same_source_and_seed_give_the_same_loss_to_the_last_digit(open_run: OpenRunWith) -> None:
    same = Assignments({"MIX": 0.5})
    run = open_run(Scripted(proposal(same), proposal(same)), trials=3)
    run_trials(run)
    assert len({trial.val_loss for trial in run.history.trials}) == 1


def test_a_baseline_without_a_loss_ends_the_run(open_run: OpenRunWith, bigram: Task) -> None:
    broken = {**bigram.files, "train.py": bigram.files["train.py"] + b"\nraise SystemExit('broken')\n"}
    run = open_run(Scripted(), trials=5, task=Task(bigram.folder, broken, "small"))
    end = run_trials(run)
    assert end.ending is EndReason.BASELINE_FAILED
    assert "crashed" in end.reason
    assert len(run.history.trials) == 1


def test_twenty_proposals_that_never_ran_end_the_run(open_run: OpenRunWith) -> None:
    refused = Proposal(Origin.LLM, "nothing", Unchanged(), refused=Status.NO_PROPOSAL, reason="the model was silent")
    run = open_run(Scripted(*[refused] * 50), trials=50)
    end = run_trials(run)
    assert end.ending is EndReason.STUCK
    assert "the model was silent" in end.reason
    assert len(run.history.trials) == 21


def test_a_spent_budget_runs_nothing(open_run: OpenRunWith) -> None:
    run_trials(open_run(Scripted(), trials=1))
    again = open_run(Scripted(), trials=1)
    assert run_trials(again).ending is EndReason.NOTHING_RAN


class Breaking:
    """A sandbox that fails at one trial, as a daemon that dies would."""

    def __init__(self, inner: Sandbox, label: str, error: BaseException) -> None:
        self._inner, self._label, self._error = inner, label, error

    def run(self, job: Job) -> Execution:
        if job.label == self._label:
            raise self._error
        return self._inner.run(job)

    def close(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("error", [SandboxError("the daemon is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("stage", ["r/0002/train", "r/0002/claim", "r/0002/audit-2"])
def test_a_broken_tool_stops_the_run_and_resuming_continues_it(
    open_run: OpenRunWith, sandbox: Sandbox, error: BaseException, stage: str
) -> None:
    changes = (proposal(WORSE), proposal(BETTER), proposal(Assignments({"MIX": 0.1})))
    broken = open_run(Scripted(*changes), trials=4, box=Breaking(sandbox, stage, error))
    with pytest.raises(type(error)):
        run_trials(broken)
    assert len(broken.history.trials) == 2
    assert list(broken.history.in_flight) == [2]
    broken.records.journal.close()

    proposer = Scripted(*changes)
    resumed = open_run(proposer, trials=4)
    assert run_trials(resumed).ending is EndReason.DONE
    assert statuses(resumed) == [("ok", True), ("ok", False), ("ok", True), ("ok", False)]
    assert [context.number for context in proposer.seen] == [3]  # trial 2 was journaled: not asked for again


def test_a_missing_commit_is_made_again_with_the_same_hash(open_run: OpenRunWith) -> None:
    run = open_run(Scripted(proposal(BETTER)), trials=2)
    run_trials(run)
    before, table = run.records.repo.tags("r"), run.paths.results_tsv.read_text()
    git = ["git", "--git-dir", str(run.records.repo.path)]
    subprocess.run([*git, "update-ref", "-d", "refs/tags/r/0001"], check=True)
    subprocess.run([*git, "update-ref", "refs/heads/r", before[0]], check=True)
    run.paths.results_tsv.unlink()
    run_trials(open_run(Scripted(), trials=2))
    assert run.records.repo.tags("r") == before
    assert run.records.repo.branch("r") == before[1]
    assert run.paths.results_tsv.read_text() == table


def test_history_and_files_agree_after_a_run(open_run: OpenRunWith) -> None:
    run = open_run(Scripted(proposal(BETTER)), trials=2)
    run_trials(run)
    assert read_history(run.paths.journal).trials == run.history.trials
    assert len(list(read_events(run.paths.journal))) == 4
    assert (run.paths.trial(1).files / "train.py").read_bytes() == run.records.repo.read("r/0001")["train.py"]
    assert re.search(r"step 00004", run.paths.trial(1).log.read_text())
