"""The honest model is accepted, whatever positions are drawn."""

from pathlib import Path

import pytest

from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact
from agent.execution.training_job import export, training_job
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from sandbox.job import Sandbox

N_RUNS = 20


@pytest.fixture(scope="module")
def trained(bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    paths = TrialPaths(tmp_path_factory.mktemp("honest"))
    export(bigram.files, paths.files)
    job = training_job(
        bigram, corpus, paths, label="honest/0000/train", train_seed=0, baseline_cpu_seconds=None, passed_on={}
    )
    assert sandbox.run(job).exit_code == 0
    return paths


@pytest.mark.slow
def test_the_honest_model_is_accepted_every_time_with_the_same_loss(
    trained: TrialPaths, bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    scorer = AuditedScorer(bigram, corpus, sandbox)
    losses = []
    for number in range(N_RUNS):
        # The last as if it beat the incumbent: then all rounds are run.
        to_beat = 99.0 if number == N_RUNS - 1 else None
        folder = tmp_path / str(number)
        score = scorer.score(
            Artifact(trained.artifact, trained.files, "", folder, "honest/0000", number, to_beat=to_beat)
        )
        assert score.evidence["rounds"] == (1 if to_beat is None else 1 + bigram.score.rounds)
        losses.append(score.val_loss)
    assert None not in losses
    assert len(set(losses)) == 1
