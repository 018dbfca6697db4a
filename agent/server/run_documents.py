"""A run as JSON documents: its trials, one trial, what it changed, and the result.

The commands `agent log`, `show`, `diff` and `best` print them with `--json`, and the MCP server's tools return them.
In a run that takes submissions and compares predictions with labels, they show losses rounded as a proposer sees
them (`agent.modes.reported_trials`), because the reader may be the proposer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.errors import EditError, RepoError, UsageError
from agent.modes.prompting.trial_digest import quoted_log
from agent.modes.registry import find_mode
from agent.modes.reported_trials import step_for
from agent.report.documents.trials import VERSION
from agent.report.json_documents import repeat_json, result_json, trial_json
from agent.report.runs_table import ListedRun, listed_run, result
from agent.report.slices import pool_size, published, slice_json
from agent.report.steering.messages import messages_json, refusals_json
from agent.server.documents import ScriptDiff
from agent.server.verdicts import reported_trials, value_of
from agent.store.paths import RunsFolder
from agent.store.run_lock import holder
from agent.store.stored_run import StoredRun
from agent.text import one_line, read_tail
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

MOST_TEXT = 100_000
"""Largest number of characters of a script or a diff in a document."""

_MOST_MESSAGES = 100
_LOSSES = ("val_loss", "value", "raw_loss", "champion_loss", "loss", "baseline_loss")
_ERRORS = ("champion_error", "sigma", "lead", "error")  # in the metric's unit
_IN_ERRORS = ("lead", "n_errors")  # of a verdict, in sigmas or standard errors


def log_document(
    stored: StoredRun,
    cache: Path | None,
    fits: Callable[[Trial], bool] = lambda _trial: True,
    last: int | None = None,
) -> dict[str, Any]:
    """Return the trials, repeats and slices of a run, and its result.

    Args:
        cache: folder of prepared data; None: the size of the pool is left out.
        fits: which trials are listed.
        last: list this many of them, the latest, and only their repeats and slices; None: all.
    """
    view = _View(stored)
    trials = [one for one in stored.history.timeline if isinstance(one, Trial) and fits(one)]
    repeats = [one for one in stored.history.timeline if isinstance(one, Repeat)]
    slices = list(stored.history.slices)
    if last is not None:
        trials = trials[-last:]
        numbers = {trial.number for trial in trials}
        repeats = [repeat for repeat in repeats if repeat.trial in numbers]
        slices = [use for use in slices if use.trial in numbers]
    return {
        "run": stored.run_id,
        "mode": stored.config.mode,
        "metric": asdict(stored.metric),
        "hints": stored.config.hints,
        "open_by": holder(stored.paths),
        **view.result(cache),
        "messages": messages_json(stored.history)[-_MOST_MESSAGES:],
        "refused_submissions": refusals_json(stored.history)[-_MOST_MESSAGES:],
        "slices": [view.displayed(slice_json(use)) for use in slices],
        "trials": [view.trial(trial) for trial in trials],
        "repeats": [view.displayed(repeat_json(repeat, stored.metric)) for repeat in repeats],
    }


def trial_document(stored: StoredRun, number: int) -> dict[str, Any]:
    """Return one trial, which may be in flight, with its script and the end of its log.

    Raises:
        UsageError: there is no such trial.
    """
    view, trial = _View(stored), stored.trial(number)
    result = published(stored.history, stored.keeper)
    script = _script(stored, number)
    return {
        **view.trial(trial),
        "metric": asdict(stored.metric),
        "published": view.displayed(result.to_json()) if result is not None and result.trial == number else None,
        "script": None if script is None else script[:MOST_TEXT],
        "script_is_cut": script is not None and len(script) > MOST_TEXT,
        "log": quoted_log(read_tail(stored.paths.trial(number).log)),
    }


def difference(
    stored: StoredRun, number: int, old: tuple[StoredRun, int] | None = None, most: int | None = MOST_TEXT
) -> ScriptDiff:
    """Return what a trial changed in its parent's files, or in those of another trial.

    Args:
        old: the other trial, with its run.
        most: largest number of characters of the diff; None: no limit.

    Raises:
        UsageError: there is no such trial.
        RepoError: neither a trial nor the trials that it is built on have a commit yet.
    """
    run, before = old if old is not None else (stored, stored.trial(number).parent or 0)
    first, second = f"{run.run_id}/{run.trial(before).number:04d}", f"{stored.run_id}/{number:04d}"
    patch = stored.diff(number, (run, before))
    return ScriptDiff(first, second, patch[:most], most is not None and len(patch) > most)


def best_document(stored: StoredRun, cache: Path) -> dict[str, Any]:
    """Return the result of a run, with its trial. Raises UsageError if no trial has a loss."""
    if stored.best is None:
        raise UsageError(f"{stored.run_id} has no trial with a loss yet; `agent log {stored.run_id}` shows its trials")
    view = _View(stored)
    about = {"metric": asdict(stored.metric), "hints": stored.config.hints}
    return {**view.trial(stored.best), **about, **view.result(cache)}


def listed_document(run: ListedRun) -> dict[str, Any]:
    """Return a run of a folder as `agent runs --json` lists it: null where a run that cannot be read has no value."""
    stored, began, spent = run.stored, run.began, run.ledger
    config = None if stored is None else stored.config_now
    best = None if stored is None else stored.best
    baseline = None if stored is None or not stored.history.trials else stored.history.trials[0]
    return {
        "run": run.run_id,
        "state": run.state,
        "open_by": run.open_by,
        "work": run.work or None,
        "fault": run.fault or None,
        "mode": config.mode if config is not None else None,
        "task": config.task_name if config is not None else None,
        "metric": config.metric_name if config is not None else None,
        "goal": config.metric_goal if config is not None else None,
        "best": best.number if best is not None else None,
        "best_standing": best.standing.value if best is not None and best.standing is not None else None,
        "best_value": value_of(stored, best) if stored is not None else None,
        "baseline_value": value_of(stored, baseline) if stored is not None else None,
        "trials": spent.trials,
        "most_trials": config.trials if config is not None else None,
        "train_seconds": spent.train_seconds,
        "wall_seconds": spent.wall_seconds,
        "dollars": spent.usage.dollars if spent.usage is not None else None,
        "bytes": run.n_bytes,
        "began": began.isoformat() if began is not None else None,
    }


def notification_document(
    runs: RunsFolder,
    name: str,
    event: str,
    run_ids: Sequence[str],
    *,
    trial: int | None = None,
    end: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return the document that the commands of `--on-end` and `--on-confirmed` read.

    Args:
        name: of the run or the comparison.
        trial: the trial of the first run whose gain was confirmed.
        end: how it ended, and the reason.

    Raises:
        UsageError, JournalError: the run of the trial cannot be read.
    """
    listed = [listed_run(runs, run_id) for run_id in run_ids]
    confirmed = None
    if trial is not None:
        stored = StoredRun.find(runs, run_ids[0])
        confirmed = _View(stored).trial(stored.trial(trial))
    found = [
        (run.run_id, run.stored.metric.name, text) for run in listed if run.stored and (text := result(run.stored))
    ]
    best = "; ".join(
        f"{metric} {text}" + (f" in {run_id}" if len(run_ids) > 1 else "") for run_id, metric, text in found
    )
    how = f"trial {trial} is {confirmed['standing']}" if confirmed is not None else f"{end[0]}: {end[1]}" if end else ""
    return {
        "version": VERSION,
        "event": event,
        "name": name,
        "folder": str(runs.root),
        "message": one_line(f"{name}: {how}" + (f"; best {best}" if best else "")),
        "end": end[0] if end is not None else None,
        "reason": end[1] if end is not None else None,
        "trial": confirmed,
        "runs": [listed_document(run) for run in listed],
    }


class _View:
    """What the documents show of a run: all of it, or losses as a proposer sees them."""

    def __init__(self, stored: StoredRun) -> None:
        mode = find_mode(stored.config.mode)
        self._stored = stored
        self._is_rounded = stored.config.rounded and mode is not None and mode.awaits_submissions
        self._reported = reported_trials(stored) if self._is_rounded else None

    def trial(self, trial: Trial) -> dict[str, Any]:
        stored = self._stored
        final = trial if self._reported is None else self._reported.trial(trial)
        added = stored.added_lines.get(trial.number)
        return self.displayed(trial_json(final, stored.hashes.get(trial.number), stored.metric, added))

    def result(self, cache: Path | None) -> dict[str, Any]:
        stored = self._stored
        pool = None if cache is None else pool_size(stored, cache)
        return self.displayed(result_json(stored.history, stored.keeper, pool))

    def displayed(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a document, with rounded losses where the proposer sees rounded ones."""
        if not self._is_rounded or self._stored.history.incumbent is None:
            return document
        return rounded(document, step_for(self._stored.keeper.sigma), self._stored.metric.name)


def rounded(document: Mapping[str, Any], step: float, metric: str) -> dict[str, Any]:
    """Return a JSON document of a run without the digits of losses that reveal labels.

    Args:
        step: losses become multiples of it; leads in sigmas or standard errors are rounded to a tenth.
        metric: name of the metric, under which scripts report it.
    """
    made: dict[str, Any] = {}
    for name, value in document.items():
        if name == "verdict" and isinstance(value, Mapping):  # its reason may reveal digits too
            made[name] = {"standing": value["standing"]}
            made[name] |= {key: round(value[key], 1) for key in _IN_ERRORS if value.get(key) is not None}
        elif name == "score" and isinstance(value, Mapping) and "losses" in value:  # of a slice
            made[name] = {"burned_by": value.get("burned_by", ""), "seconds": value["seconds"]}
        elif name == "flags":  # they may reveal digits too
            made[name] = []
        elif name == "params":  # a parameter may be called like a loss
            made[name] = value
        elif isinstance(value, Mapping):
            made[name] = rounded(value, step, metric)
        elif name in (*_LOSSES, *_ERRORS, metric) and isinstance(value, float):
            made[name] = float(f"{round(value / step) * step:.12g}")
        else:
            made[name] = value
    return made


def _script(stored: StoredRun, number: int) -> str | None:
    """Return a trial's script; None if it has none yet."""
    try:
        return stored.script(number)
    except (RepoError, EditError):
        return None
