"""A kind of score as somebody would add it, in one file: the loss is the size of what the script saved, in bytes."""

from agent.execution.scoring.scorer import Artifact, ScorerInputs
from agent.task.score_kinds import ScoreKind
from agent.trials.trial import Score


class SizeScorer:
    def score(self, artifact: Artifact) -> Score:
        n_bytes = artifact.path.stat().st_size
        return Score(float(n_bytes), ROW.recorded_as, evidence={"files": 1})


def open_scorer(_inputs: ScorerInputs) -> SizeScorer:
    return SizeScorer()


ROW = ScoreKind("small_output", "tests.extensions.small_output", "measured_size", needs_data=False)
