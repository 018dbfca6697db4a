"""A comparison: several modes under several seeds, each an ordinary run. It is stored in compare.json."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from agent.errors import JournalError, UsageError
from agent.files import read_json
from agent.modes.registry import find_mode, mode_named, searching_mode, unused_options
from agent.run.resume import RAISABLE, budget_raise
from agent.store import run_config
from agent.store.atomic_file import write_durably
from agent.store.journal import FORMAT, read_history
from agent.store.paths import RunsFolder
from agent.store.run_config import RunConfig, as_given, option_of, with_raised_caps
from agent.text import did_you_mean
from agent.trials.history import History

_OWN = ("run_id", "mode", "seed")  # fields in which the runs of a comparison differ
# Fields that may differ when the user repeats the command that started a comparison.
_FOUND = ("task_folder", "noise_sigma", "noise_source", "price_source", *("pool", "n_slices", "keep_lead"))


@dataclass(frozen=True)
class Comparison:
    """Runs of one task that differ only in mode and seed."""

    name: str
    modes: tuple[str, ...]  # the first is the reference
    n_seeds: int  # 0, 1, ...
    config: RunConfig  # shared by all runs; its mode and seed are not used

    @property
    def n_runs(self) -> int:
        return len(self.modes) * self.n_seeds

    def run_id(self, mode: str, seed: int) -> str:
        return f"{self.name}-{run_config.in_a_name(mode)}-s{seed}"

    def configs(self) -> Iterator[RunConfig]:
        """Yield the configuration of every run, mode by mode. Raises UsageError if a run's name is too long."""
        for mode in self.modes:
            row = find_mode(mode)  # None: a mode of an earlier version, whose runs are only shown
            asks = row is None or row.needs_model
            own = {"mode": mode, **({} if asks else {"model": None, "base_url": None})}
            for seed in range(self.n_seeds):
                yield run_config.checked(
                    **{**asdict(self.config), **own, "run_id": self.run_id(mode, seed), "seed": seed}
                )

    def run_ids(self) -> dict[str, list[str]]:
        """Return the names of the runs by mode."""
        return {mode: [self.run_id(mode, seed) for seed in range(self.n_seeds)] for mode in self.modes}

    def raised(self, caps: Mapping[str, float | None]) -> "Comparison":
        """Return the comparison with each run's budget raised to `caps`. Raises UsageError if one would be lowered."""
        raised = budget_raise(self.config, History([]), caps, "")
        return self if raised is None else replace(self, config=with_raised_caps(self.config, [raised]))

    def differences(self, other: "Comparison") -> list[str]:
        """Return the settings in which another comparison differs, as options of the command line."""
        pairs = {
            "--modes": (",".join(self.modes), ",".join(other.modes)),
            "--seeds": (self.n_seeds, other.n_seeds),
            **{_option(name): values for name, values in _differing(self.config, other.config).items()},
        }
        return [f"{option} {as_given(old)} → {as_given(new)}" for option, (old, new) in pairs.items() if old != new]

    def save(self, runs: RunsFolder) -> None:
        """Write compare.json, completely or not at all."""
        path = runs.run(self.name).comparison
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"format": FORMAT, "modes": self.modes, "seeds": self.n_seeds, "config": asdict(self.config)}
        write_durably(path, json.dumps(document, indent=2) + "\n")


def start_or_load(runs: RunsFolder, config: RunConfig, modes: tuple[str, ...], n_seeds: int) -> Comparison:
    """Return the stored comparison if it was started before with the same settings, else a new one.

    Args:
        config: shared by all runs; its run_id names the comparison.
        modes: as `checked_modes` returns them.

    Raises:
        UsageError: the name is taken by another run or comparison.
    """
    wanted = Comparison(config.run_id, modes, n_seeds, config)
    if wanted.name in runs.comparison_ids():
        stored = load(runs, wanted.name)
        if differences := stored.differences(wanted):
            raise UsageError(
                f"the comparison {wanted.name} was started with other settings ({'; '.join(differences)}); "
                f"resume it with --resume {wanted.name} and no --modes, or choose another --name"
            )
        return stored
    names = [wanted.name, *(config.run_id for config in wanted.configs())]
    if taken := sorted({*names} & {*runs.run_ids()}):
        raise UsageError(f"the name {taken[0]} is taken by a run; choose another --name")
    return wanted


def checked_modes(modes: str) -> tuple[str, ...]:
    """Return the modes in a list separated by commas.

    Raises:
        UsageError: a mode does not exist, is not a search, or is listed twice.
    """
    names = [name.strip() for name in modes.split(",")]
    for name in names:
        if searching_mode(name).awaits_submissions:
            raise UsageError(
                f"--modes {modes}: {name} waits for changes from outside; name modes that propose by themselves"
            )
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--modes {modes}: {twice[0]} is listed twice; remove one")
    return tuple(names)


def load(runs: RunsFolder, name: str | None) -> Comparison:
    """Return the comparison of that name, or the one started last.

    Raises:
        UsageError: there is none.
        JournalError: its compare.json cannot be read.
    """
    known = runs.comparison_ids()
    if not known:
        raise UsageError(
            f"there is no comparison in {runs.root}; start one with `agent compare --modes ... --trials N`"
        )
    if name is not None and name not in known:
        raise UsageError(
            f"there is no comparison {name!r} in {runs.root}{did_you_mean(name, known) or f'; the last is {known[-1]}'}"
        )
    path = runs.run(name or known[-1]).comparison
    try:
        document = read_json(path, run_config.MOST_BYTES)
        if document["format"] != FORMAT:
            raise JournalError(f"{path} has format {document['format']}, but this version reads format {FORMAT}")
        config = run_config.checked(**run_config.current(document["config"]))
        return Comparison(path.parent.name, tuple(document["modes"]), int(document["seeds"]), config)
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise JournalError(f"{path} cannot be read: {error}; restore it from a backup") from error


def check_runs(comparison: Comparison, runs: RunsFolder) -> None:
    """Raise UsageError unless the existing runs belong to this comparison, and none is missing once one has started."""
    configs = list(comparison.configs())
    there = [config.run_id for config in configs if runs.run(config.run_id).run_json.exists()]
    started = [run_id for run_id in there if _has_events(runs, run_id)]
    gone = [config.run_id for config in configs if config.run_id not in there]
    if started and gone:
        raise UsageError(
            f"{gone[0]} is missing, although {started[0]} has started: restore its folder in {runs.root}, or start "
            "another comparison under a new --name"
        )
    for config in configs:
        if config.run_id in there:
            _check_run(comparison, config, runs)


def _check_run(comparison: Comparison, config: RunConfig, runs: RunsFolder) -> None:
    paths = runs.run(config.run_id)
    run_config.refuse_retired(paths.run_json)
    stored = run_config.load(paths.run_json)
    unused = unused_options(mode_named(config.mode))
    differing = {name for name in _differing(stored, config) if name not in RAISABLE and name not in unused}
    if differing or any(getattr(stored, name) != getattr(config, name) for name in _OWN):
        raise UsageError(
            f"the run {config.run_id} does not belong to this comparison: it differs in "
            f"{', '.join(sorted(differing)) or 'mode or seed'}; choose another --name"
        )
    history = read_history(paths.journal) if paths.journal.exists() else History([])
    now = with_raised_caps(stored, history.run_events.raises)
    for name in RAISABLE:
        option, own, common = option_of(name), getattr(now, name), getattr(config, name)
        if own is not None and common is not None and own > common:
            raise UsageError(
                f"{config.run_id} alone was raised to {option} {as_given(own)}; raise the other runs with "
                f"`agent compare --resume {comparison.name} {option} {as_given(own)}`"
            )


def _has_events(runs: RunsFolder, run_id: str) -> bool:
    journal = runs.run(run_id).journal
    return journal.exists() and journal.stat().st_size > 0


def _differing(old: RunConfig, new: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two configurations differ, except for those in _OWN and _FOUND."""
    before, after = asdict(old), asdict(new)
    names = [name for name in before if name not in (*_OWN, *_FOUND)]
    return {name: (before[name], after[name]) for name in names if before[name] != after[name]}


def _option(name: str) -> str:
    known = {"task_digest": "the task's digest", "task_name": "the task"}
    return known.get(name) or option_of(name)
