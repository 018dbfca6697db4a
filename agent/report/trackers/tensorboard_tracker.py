"""TensorBoard tracker: curves over the trials and an HPARAMS session for each trial, in the run's own folder."""

import shutil
from pathlib import Path
from typing import Any

from agent.errors import TrackError
from agent.report.trackers.tracker import RunFacts, TrialFacts


class TensorboardTracker:
    """Writes event files to `folder`.

    Event files can only grow, and do not show how far an interrupted write came. So the first call rewrites the folder,
    which takes a second for a thousand trials; later calls append.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._n_written = 0

    def write(self, run: RunFacts) -> None:
        from tensorboardX import SummaryWriter

        try:
            if self._writer is None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._writer = SummaryWriter(str(self._folder))
            for trial in run.trials[self._n_written :]:
                self._add(run, trial)
                self._n_written += 1
            self._writer.flush()
        except OSError as error:
            raise TrackError(f"tensorboard: {error}") from error

    def close(self) -> str:
        if self._writer is not None:
            self._writer.close()
        return f"tensorboard --logdir {self._folder}"

    def _add(self, run: RunFacts, trial: TrialFacts) -> None:
        at = trial.finished_ms / 1000
        for name, value in trial.metrics.items():
            self._writer.add_scalar(name, value, trial.step, walltime=at)
        words = "  \n".join(f"{name}: {value}" for name, value in {"number": trial.number, **trial.tags}.items())
        self._writer.add_text("trial", words, trial.step, walltime=at)
        if trial.params:
            own = {f"trial/{run.metric}": trial.metrics[run.metric]} if run.metric in trial.metrics else {}
            words_of = {name: trial.tags.get(name, "") for name in ("origin", "status", "commit")}
            name = f"trials/{trial.number:04d}"
            self._writer.add_hparams({**trial.params, **words_of}, own, name, trial.step)


def open_tracker(folder: Path, _uri: str | None) -> TensorboardTracker:
    """Return this tracker."""
    return TensorboardTracker(folder)
