"""Weights & Biases tracker, offline: one run for a search, one step for each trial, in the run's own folder.

Nothing is sent; the user may upload the run with `wandb sync`.
"""

import shutil
from pathlib import Path
from typing import Any

from agent.errors import TrackError
from agent.report.trackers.tracker import RunFacts, TrialFacts


class WandbTracker:
    """Writes an offline run to `folder`.

    An offline run can only grow, and does not show how far an interrupted write came. So the first call rewrites it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run: Any = None
        self._n_written = 0

    def write(self, run: RunFacts) -> None:
        import wandb

        try:
            if self._run is None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True)
                self._run = wandb.init(
                    project=run.task,
                    name=run.run_id,
                    id=run.run_id,
                    dir=str(self._folder),
                    config=dict(run.settings),
                    mode="offline",
                    settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
                )
                best = "max" if run.maximise else "min"
                self._run.define_metric(run.metric, summary=best)
            for trial in run.trials[self._n_written :]:
                self._run.log(_row(trial), step=trial.step)
                self._n_written += 1
        except (wandb.Error, OSError) as error:
            raise TrackError(f"wandb: {error}") from error

    def close(self) -> str:
        if self._run is not None:
            self._run.finish()
        return f"wandb sync {self._folder}/wandb/offline-run-*"


def _row(trial: TrialFacts) -> dict[str, float | int | str]:
    """Return a trial as one step; parameters are values of the step, so that they can be plotted."""
    params = {f"params/{name}": value for name, value in trial.params.items()}
    tags = {f"trial/{name}": value for name, value in trial.tags.items()}
    return {"trial/number": trial.number, **trial.metrics, **params, **tags}


def open_tracker(folder: Path, _uri: str | None) -> WandbTracker:
    """Return this tracker."""
    return WandbTracker(folder)
