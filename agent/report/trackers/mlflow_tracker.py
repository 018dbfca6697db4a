"""MLflow tracker: one run for the search, with curves, and a nested run for each trial, with parameters and metrics.

Trials are runs because parameters of an MLflow run cannot change, and because its users sort, filter and plot runs.
MLflow's own tuning examples nest them in the same way.
"""

from pathlib import Path

from agent.errors import TrackError
from agent.report.trackers.tracker import RunFacts, TrialFacts

OF_RUN, OF_TRIAL = "autocentaur.run", "autocentaur.trial"
_AT_ONCE = 1000  # runs per response and metrics per call: MLflow's limits


class MlflowTracker:
    """Writes to the tracking server or store at `uri`; None: the one that MLflow's own settings name."""

    def __init__(self, uri: str | None = None) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = ""
        self._search = ""  # id of the search's own run
        self._standing: dict[int, str | None] = {}  # of the trials already written, by number
        self._ids: dict[int, str] = {}
        self._steps: set[int] = set()  # trials already on the curves

    def write(self, run: RunFacts) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._write(run)
        except (MlflowException, OSError) as error:
            raise TrackError(f"mlflow: {' '.join(str(error).split())[:300]}") from error

    def close(self) -> str:
        from mlflow.exceptions import MlflowException

        where = f"MLflow at {self._client.tracking_uri}"
        if not self._search:
            return where
        try:
            self._client.set_terminated(self._search)
        except (MlflowException, OSError) as error:
            raise TrackError(f"mlflow: {' '.join(str(error).split())[:300]}") from error
        return f"{where}, run {self._search}"

    def _write(self, run: RunFacts) -> None:
        if not self._search:
            self._find(run)
        for trial in run.trials:
            if trial.number not in self._ids:
                self._add(run, trial)
            elif self._standing[trial.number] != trial.tags.get("standing"):
                self._client.set_tag(self._ids[trial.number], "standing", trial.tags.get("standing", ""))
            self._standing[trial.number] = trial.tags.get("standing")
        self._draw([trial for trial in run.trials if trial.step not in self._steps])

    def _find(self, run: RunFacts) -> None:
        """Find the parts of the run that MLflow already has; create the search's run if it has none."""
        found = self._client.get_experiment_by_name(run.task)
        self._experiment = found.experiment_id if found else self._client.create_experiment(run.task)
        token: str | None = None
        search = ""
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{OF_RUN}` = '{run.run_id}'", max_results=_AT_ONCE, page_token=token
            )
            for there in page:
                number = there.data.tags.get(OF_TRIAL)
                if number is None:
                    search = there.info.run_id
                elif there.info.status == "RUNNING":  # writing it was interrupted
                    self._client.delete_run(there.info.run_id)
                else:
                    self._ids[int(number)] = there.info.run_id
                    self._standing[int(number)] = there.data.tags.get("standing")
            token = page.token
            if not token:
                break
        self._search = search or self._begin(run)
        if search:
            self._client.update_run(search, status="RUNNING")
            self._steps = {metric.step for metric in self._client.get_metric_history(search, "spent_seconds")}

    def _begin(self, run: RunFacts) -> str:
        from mlflow.entities import Param

        started = run.trials[0].started_ms if run.trials else None
        begun = self._client.create_run(self._experiment, started, {OF_RUN: run.run_id}, run.run_id)
        params = [Param(name, value) for name, value in run.settings.items()]
        self._client.log_batch(begun.info.run_id, params=params)
        return str(begun.info.run_id)

    def _add(self, run: RunFacts, trial: TrialFacts) -> None:
        from mlflow.entities import Metric, Param

        tags = {OF_RUN: run.run_id, OF_TRIAL: str(trial.number), "mlflow.parentRunId": self._search, **trial.tags}
        name = f"{run.run_id}/{trial.number:04d}"
        begun = self._client.create_run(self._experiment, trial.started_ms, tags, name).info.run_id
        self._client.log_batch(
            begun,
            metrics=[Metric(name, value, trial.finished_ms, trial.step) for name, value in trial.metrics.items()],
            params=[Param(name, str(value)) for name, value in trial.params.items()],
        )
        self._client.set_terminated(begun, "FINISHED" if trial.ok else "FAILED", trial.finished_ms)
        self._ids[trial.number] = begun

    def _draw(self, trials: list[TrialFacts]) -> None:
        """Add points to the curves of the search."""
        from mlflow.entities import Metric

        for trial in trials:
            points = [Metric(name, value, trial.finished_ms, trial.step) for name, value in trial.metrics.items()]
            self._client.log_batch(self._search, metrics=points)
            self._steps.add(trial.step)


def open_tracker(_folder: Path, uri: str | None) -> MlflowTracker:
    """Return this tracker."""
    return MlflowTracker(uri)
