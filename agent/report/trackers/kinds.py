"""The trackers by name, one row each. Nothing of a tracker is imported here: the command line lists the names.

A tracker is a file that has `open_tracker(folder, uri)`, and a row of TRACKERS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrackerKind:
    """One tracker."""

    name: str
    module: str  # has `open_tracker(folder, uri)`
    extra: str | None = None  # that brings its library; see agent.extras
    takes_uri: bool = False  # can write elsewhere than into the run's folder
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its library reads, unless the user has set them: it tells nobody else, and waits for no server."""


_ROWS = (
    TrackerKind(
        "mlflow",
        "agent.report.trackers.mlflow_tracker",
        "mlflow",
        takes_uri=True,
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
            "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        },
    ),
    TrackerKind("tensorboard", "agent.report.trackers.tensorboard_tracker", "tensorboard"),
    TrackerKind(
        "wandb",
        "agent.report.trackers.wandb_tracker",
        "wandb",
        environment={"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"},
    ),
)
TRACKERS = {row.name: row for row in _ROWS}
