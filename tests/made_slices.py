"""Slices of unseen text made by hand: a model's loss on one is the number in its artifact, and a little more."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.edits.assignments import read_constants
from agent.execution.slices.source import Burned, Contender, Openings
from agent.trials.keeping.noise import Lead
from agent.trials.trial import Score
from sandbox.job import Execution, Job, StoppedBy

ERROR = 0.001  # of each lead
SILENT = "the scoring job did not answer in time"


@dataclass(frozen=True)
class MadeAnswers:
    losses: dict[str, float]

    def lead(self, better: Collection[str], worse: str | Collection[str]) -> Lead:
        others = [worse] if isinstance(worse, str) else worse
        means = [sum(self.losses[name] for name in names) / len(names) for names in (others, better)]
        return Lead(means[0] - means[1], ERROR)


@dataclass
class MadeSlices:
    """Remembers what was asked. Slice n adds n hundredths to every loss."""

    folder: Path  # of the pool
    n_slices: int = 6
    digest: str = "made"
    silent: Collection[str] = ()  # models that do not answer
    meanwhile: Callable[[str], None] = lambda _label: None  # called with the label of what is asked
    n_items: int = 100
    n_standing: int = 100
    expected_error: float | None = ERROR
    asked: list[tuple[int, list[str]]] = field(default_factory=list)  # slice, and names of the models

    @property
    def openings(self) -> Openings:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Openings(self.folder / "opened.jsonl")

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        del baseline, score, folder, label
        return None

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> MadeAnswers | Burned:
        del score, folder
        self.asked.append((number, [model.name for model in models]))
        self.meanwhile(label)
        silent = [model.name for model in models if model.name in self.silent]
        if silent:
            return Burned(silent[0], SILENT, [])
        return MadeAnswers({model.name: float(model.artifact.read_text()) + number / 100 for model in models})


class Sums:
    """A sandbox whose jobs print 1 + SMOOTHING / 20 plus a noise of the training seed, and leave that number behind."""

    def run(self, job: Job) -> Execution:
        script = next(mount.source for mount in job.mounts if mount.target == "/task") / "train.py"
        seed = int(job.environment["TRAIN_SEED"])
        loss = 1 + float(read_constants(script.read_text(), ["SMOOTHING"])["SMOOTHING"]) / 20 + 0.002 * (seed % 7)
        job.log.write_text(f"---\nval_bpb: {loss!r}\n")
        assert job.output is not None
        job.output.write_text(repr(loss))
        return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, len(repr(loss)), False)

    def close(self) -> None:
        pass
