"""What `agent noise` has measured of a task on this machine."""

from statistics import stdev

from agent import config as run_config
from agent.journal import read_history
from agent.paths import RunsFolder
from agent.task import Task

MODE = "noise"
FEWEST_SEEDS = 3


def measured_sigma(runs: RunsFolder, task_digest: str) -> float | None:
    """Return the standard deviation of the task's baseline over training seeds, in metric units.

    None: no noise run of this very task in `runs` has three losses or more. The last one counts.
    """
    for run_id in reversed(runs.run_ids()):
        paths = runs.run(run_id)
        config = run_config.load(paths.run_json)
        if config.mode != MODE or config.task_digest != task_digest or config.of_trial or not paths.journal.exists():
            continue
        losses = [trial.val_loss for trial in read_history(paths.journal).trials if trial.val_loss is not None]
        if len(losses) >= FEWEST_SEEDS and stdev(losses) > 0:
            return stdev(losses)
    return None


def options_of(runs: RunsFolder, task: Task) -> dict[str, object]:
    """Return what is known of the task's noise, and who says so, as fields of a new run's RunConfig."""
    measured = measured_sigma(runs, task.digest)
    sigma = measured or task.noise.sigma
    source = "`agent noise`" if measured else "[noise] of task.toml"
    return {"noise_sigma": sigma, "noise_source": source if sigma else None}
