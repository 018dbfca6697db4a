"""Cheats at the score, each a trial of a real run: none is kept for what it is not worth, and none is told anything."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.edits.edit import WholeFile
from agent.execution.executor import Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import Origin, Proposal, Status, Trial
from sandbox.job import Sandbox
from tests.attacks.score import cheats
from tests.attacks.score.cheats import Cheat
from tests.conftest import SilentObserver


@dataclass(frozen=True)
class Night:
    """A run whose every proposal is a cheat."""

    run: Run
    marker: Path  # the file on the host that the poisoned pickle would make

    def trial(self, cheat: Cheat) -> Trial:
        return self.run.history.trials[1 + cheats.ALL.index(cheat)]

    def log(self, cheat: Cheat, job: str) -> str:
        return (self.run.paths.trial(self.trial(cheat).number).score / f"{job}.log").read_text()

    @property
    def honest_loss(self) -> float:
        loss = self.run.history.trials[0].val_loss
        assert loss is not None
        return loss


class Cheater:
    """Proposes the cheats in order."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def propose(self, context: Context) -> Proposal:
        cheat = cheats.ALL[context.number - 1]
        script = cheat.script(context.baseline_source).replace("MARKER", str(self._marker))
        return Proposal(Origin.LLM, cheat.name, WholeFile(script))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, bigram: Task, corpus: Corpus, sandbox: Sandbox) -> Night:
    root = tmp_path_factory.mktemp("night")
    runs = RunsFolder(root / "runs")
    runs.prepare()
    paths = runs.run("night")
    paths.root.mkdir()
    marker = root / "marker"
    scorer = AuditedScorer(bigram, corpus, sandbox)
    with closing(Journal(paths.journal)) as journal:
        history = read_history(paths.journal)
        run = Run(
            records=Records("night", "test", None, bigram, paths, journal, history, TrialRepo(runs.repo)),
            executor=Executor(bigram, corpus, sandbox, scorer, {}, paths.compiled, {}),
            policy=Policy(KeepRule("any"), Budget(trials=1 + len(cheats.ALL))),
            observer=SilentObserver(),
            proposer=Cheater(marker),
            space=bigram.space,
        )
        run_trials(run)
    return Night(run, marker)


@pytest.mark.slow
@pytest.mark.parametrize("cheat", cheats.ALL, ids=lambda cheat: cheat.name)
def test_a_cheat_gains_nothing(night: Night, cheat: Cheat, record_property: Callable[[str, object], None]) -> None:
    trial = night.trial(cheat)
    outcome = trial.outcome
    assert outcome is not None
    record_property("cheat", (cheat.name, str(outcome.status), outcome.kept, outcome.reason))
    assert outcome.status is cheat.status, night.run.paths.trial(trial.number).log.read_text()
    assert cheat.why in outcome.reason
    if cheat.status is Status.OK:
        assert outcome.val_loss == pytest.approx(night.honest_loss, abs=1e-6)
    else:
        assert (outcome.val_loss, outcome.kept) == (None, False)


@pytest.mark.slow
@pytest.mark.parametrize("cheat", cheats.ALL, ids=lambda cheat: cheat.name)
def test_proposers_get_no_number_of_the_scoring_jobs(night: Night, cheat: Cheat) -> None:
    outcome = night.trial(cheat).outcome
    assert outcome is not None
    assert re.search(r"\d", outcome.reason) is None
    assert "token" not in outcome.reason.replace("tokens before", "")


@pytest.mark.parametrize("cheat", cheats.ALL, ids=lambda cheat: cheat.name)
def test_the_evidence_tells_people_why(night: Night, cheat: Cheat) -> None:
    trial = night.trial(cheat)
    assert trial.outcome is not None
    evidence = json.loads((night.run.paths.trial(trial.number).score / "audit.json").read_text())
    assert evidence["verdict"] == ("accepted" if cheat.status is Status.OK else "rejected")
    assert evidence["reason"] == trial.outcome.reason
    assert [job["job"] for job in evidence["jobs"]][:1] == ["claim"]
    if cheat.why == cheats.DISAGREES:
        found = evidence["by_round"][-1]["worst"][0]
        assert abs(found["claimed"] - found["audited"]) > night.run.executor.task.score.tol


def named(name: str) -> Cheat:
    return next(cheat for cheat in cheats.ALL if cheat.name == name)


def test_the_poison_runs_in_the_sandbox_and_not_on_the_host(night: Night) -> None:
    assert "the poison ran" in night.log(named("poisoned pickle"), "claim")
    assert not night.marker.exists()


def test_nothing_written_in_one_scoring_job_is_found_in_another(night: Night) -> None:
    cheat = named("cached between claim and audit")
    assert night.log(cheat, "audit-0") == ""


def test_what_a_script_prints_is_reported_and_moves_nothing(night: Night) -> None:
    outcome = night.trial(named("prints fake lines")).outcome
    assert outcome is not None
    assert outcome.reported["val_bpb"] == 0.001
    assert (outcome.val_loss, outcome.kept) == (night.honest_loss, False)


def test_the_hosts_clock_runs_on_where_the_scripts_is_stopped(night: Night) -> None:
    outcome = night.trial(named("patches the clock")).outcome
    assert outcome is not None
    assert outcome.reported["training_seconds"] == 0.0
    assert outcome.wall_seconds >= 0.5  # it slept as long before it stopped the clock
