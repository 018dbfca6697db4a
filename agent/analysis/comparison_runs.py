"""Opens the runs of a comparison."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from agent.analysis.comparison import Comparison, check_runs
from agent.execution.host import Host
from agent.llm.model import Model
from agent.modes.model_choice import RECORDING, build_model
from agent.run.open_run import Run
from agent.run.opening import ObserverFor, ResumeOptions, resume_run, start_run
from agent.run.resume import RAISABLE
from agent.store import run_config
from agent.store.paths import RunsFolder
from agent.store.run_config import RunConfig
from agent.store.run_lock import holder


@contextmanager
def opened(comparison: Comparison, runs: RunsFolder, host: Host, observer_for: ObserverFor) -> Iterator[list[Run]]:
    """Open all runs of a comparison, mode by mode; each continues where its journal ends.

    Raises:
        UsageError: a run is missing, is not of this comparison, or is open in another process.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    check_runs(comparison, runs)
    caps = {name: getattr(comparison.config, name) for name in RAISABLE}
    configs = list(comparison.configs())
    new = [config.run_id for config in configs if not runs.run(config.run_id).run_json.exists()]
    runs.prepare()
    comparison.save(runs)
    with ExitStack() as stack:
        stack.callback(_forget, comparison, runs, new)
        model, options = OneModel(), ResumeOptions(caps)
        all_open = [
            stack.enter_context(_open(config, runs, host, observer_for, options=options, model=model))
            for config in configs
        ]
        for line in dict.fromkeys(line for run in all_open for line in run.records.retired):
            host.say(line)
        yield all_open


def _forget(comparison: Comparison, runs: RunsFolder, new: Sequence[str]) -> None:
    """Remove the folders of a new comparison if none of its runs has started, as when it cannot run here."""
    paths = [runs.run(run_id) for run_id in new]
    if len(new) < comparison.n_runs or any(holder(each) for each in paths):
        return
    if any(each.journal.exists() and each.journal.stat().st_size for each in paths):
        return
    for each in (*paths, runs.run(comparison.name)):
        shutil.rmtree(each.root, ignore_errors=True)


@contextmanager
def _open(
    config: RunConfig,
    runs: RunsFolder,
    host: Host,
    observer_for: ObserverFor,
    *,
    options: ResumeOptions,
    model: "OneModel",
) -> Iterator[Run]:
    path = runs.run(config.run_id).run_json
    if path.exists():  # it has what the run found when it started, such as its pool
        opening = resume_run(run_config.load(path), runs, host, observer_for, options, build_model=model)
    else:
        opening = start_run(config, runs, host, observer_for, build_model=model)
    with opening as run:
        yield run


class OneModel:
    """Builds one model for all runs with the same model and endpoint. Each run closes it, after all have ended."""

    def __init__(self) -> None:
        self._built: dict[tuple[str | None, str | None], Model] = {}

    def __call__(self, config: RunConfig, host: Host, n_replies_used: int) -> Model:
        key = (config.model, config.base_url)
        if key not in self._built or (config.model or "").startswith(RECORDING):  # each has its own position
            self._built[key] = build_model(config, host, n_replies_used)
        return self._built[key]
