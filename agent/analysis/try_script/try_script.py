"""Runs a script that `agent init` has read, and corrects the report on it by what was seen."""

import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.analysis.try_script.effects import Effects, Reference, find_effects
from agent.analysis.try_script.findings import explained, learn_files, remarks
from agent.analysis.try_script.lengths import Length, lengths
from agent.analysis.try_script.log_numbers import Printed, Repeatable, metrics_in, numbered_lines, text_before_number
from agent.analysis.try_script.tries import Tries, TryOptions
from agent.execution.observing.observed_run import ObservedRun
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.scoring.scorer import Artifact
from agent.task.init.metric.printed_metric import PrintedMetric, with_goal
from agent.task.init.script_report import NO_METRIC, ScriptReport, Tried
from agent.task.score_kinds import PRINTED
from agent.task.spec import ScoreSpec
from agent.task.task import Task
from agent.text import one_line, plural
from agent.trials.metric import Metric
from agent.trials.trial import Status

MOST_CORRECTIONS = 8
"""Times that the script is started again with files that it missed."""
_MOST_SHOWN = 100  # characters of a line of the log


@dataclass(frozen=True)
class TryResult:
    """What the runs have shown."""

    reading: ScriptReport  # corrected; `tried` is set if a run ended well
    seen: tuple[str, ...]  # one line each
    failures: tuple[str, ...]  # why it does not run yet, each with the line to change; empty: it ran
    n_runs: int
    value: float | None = None  # of the metric, in the short training
    effects: Effects | None = None

    @property
    def is_ok(self) -> bool:
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        effects = None if self.effects is None else asdict(self.effects)
        metric = None if self.value is None else self.reading.metrics[0].name
        found = {"ok": self.is_ok, "runs": self.n_runs, "metric": metric, "value": self.value, "seen": self.seen}
        return {**found, "failures": self.failures, "effects": effects}


def try_script(
    reading: ScriptReport, compose: Callable[[ScriptReport], Task], options: TryOptions, folder: Path, today: str
) -> TryResult:
    """Run a script in the sandbox, first as short as its budget allows, and return what was seen.

    Args:
        reading: of the script.
        compose: returns the task of a corrected reading.
        options: where, and for how long.
        folder: an empty one, for files and logs.
        today: the date, for the comment in task.toml.

    Raises:
        UsageError: a corrected task is invalid, or nothing says in which direction a metric in the log improves.
        MissingRequirementError, SandboxError: the machine lacks something, or the sandbox failed.
    """
    tries = Tries(options, folder)
    seen: list[str] = []
    for _ in range(MOST_CORRECTIONS):
        task = compose(reading)
        with tries.opened(task):
            run, length = _until_it_prints(tries, task, reading)
            learned = learn_files(reading, run)
            if learned.added:
                seen.append(f"needs {', '.join(learned.added)}, which its text does not name: added to task.toml")
                tries.say(f"  {one_line(seen[-1])}")
                reading = learned.reading
                continue
            if run.failed is not None:
                return TryResult(reading, tuple(seen), tuple(explained(reading, run)), tries.n_runs)
            if run.score is None or run.score.status is not Status.OK:
                found, wanted = _metrics_of(run), reading.metrics[0]
                if not found or wanted.is_named_by_user or found[0].option == wanted.option:
                    return TryResult(reading, tuple(seen), (_no_metric(reading, run),), tries.n_runs)
                found[0] = with_goal(found[0], options.goal, options.ask_goal)
                seen.append(_instead(wanted, found[0]))
                tries.say(f"  {one_line(seen[-1])}")
                reading = replace(reading, metrics=tuple(found))
                continue
            return _Examination(tries, task, reading, length, run).result(seen, today)
    why = "it missed another file at each start: name the folders in `frozen` of task.toml"
    return TryResult(reading, tuple(seen), (why,), tries.n_runs)


def _until_it_prints(tries: Tries, task: Task, reading: ScriptReport) -> tuple[ObservedRun, Length]:
    """Run longer and longer trainings until one prints the metric, or fails for a reason that length does not mend."""
    last: tuple[ObservedRun, Length] | None = None
    for length in lengths(task, reading):
        if last is not None and tries.left < 1:
            break
        run = tries.run(length)
        tries.say(f"  {length.text}: {_ended(run)}")
        last = run, length
        if run.failed is None:
            is_scored = run.score is not None and run.score.status is Status.OK
            is_named = reading.metrics[0].is_named_by_user  # then no other metric will do
            if is_scored or (not is_named and any(not metric.of_training for metric in _metrics_of(run))):
                break
        elif run.is_cut_short or learn_files(reading, run).added or len(explained(reading, run)) > 1:
            break
    assert last is not None
    return last


def _ended(run: ObservedRun) -> str:
    if run.failed is not None:
        return f"{run.seconds:.1f} s, {one_line(run.failed[1])}"
    value = run.score.val_loss if run.score is not None else None
    return f"{run.seconds:.1f} s" + ("" if value is None else ", printed the metric")


def _metrics_of(run: ObservedRun) -> list[PrintedMetric]:
    """Return the metrics in a log that a scorer can read from it, most likely first."""
    found = []
    for metric in metrics_in(run.log):
        spec = ScoreSpec(kind=PRINTED.name, line=metric.line)
        scorer = PrintedScorer(Metric(name=metric.name, goal=metric.goal or "minimise"), spec)
        nothing = Path()
        if scorer.score(Artifact(nothing, nothing, run.log, nothing, "", 0)).status is Status.OK:
            found.append(metric)
    return found


def _instead(before: PrintedMetric, now: PrintedMetric) -> str:
    found = f"{now.place} ({now.where})"
    if before == NO_METRIC:
        return f"{found}, where the text of the script shows no metric"
    lacks = f"write {before.key} into {before.file}" if before.file else f"print `{before.option}`"
    return f"does not {lacks}, but {found}: --metric {shlex.quote(before.option)} --force goes back"


def _no_metric(reading: ScriptReport, run: ObservedRun) -> str:
    """Return why a run has no metric, with the option that names one."""
    wanted, what = reading.metrics[0], "it printed no number that looks like a metric"
    if wanted != NO_METRIC and run.score is not None:
        what = run.score.reason
    if wanted.file is not None:
        return f"{what}. Name a value that it writes: --metric {shlex.quote(f'{wanted.file}:KEY')}"
    found = numbered_lines(run.log)
    lines = " | ".join(line[:_MOST_SHOWN] for line in found) or "none"
    option = shlex.quote(text_before_number(found[0])) if found else "'TEXT {}'"
    return f"{what}; its lines with numbers: {lines}. Name the text of one: --metric {option}"


@dataclass(frozen=True)
class _Examination:
    """A training that prints its metric, and more runs of it."""

    tries: Tries
    task: Task
    reading: ScriptReport
    length: Length
    run: ObservedRun

    def result(self, seen: list[str], today: str) -> TryResult:
        """Return what more runs show: chance, the seed, and the names of the space."""
        value = self.value(self.run)
        lines = [*seen, *remarks(self.run), *self._other_metrics()]
        varies, effects = None, None
        if self.tries.left > 2 * self.run.seconds:
            again = self.tries.run(self.length)
            varies, line = self._chance(value, self.value(again))
            effects, found = self._effects(again)
            lines += [line, *found]
        else:
            lines.append(
                "no time for a second run, so whether runs agree and which names have an effect is unknown: "
                f"--try-budget {math.ceil(10 * self.run.seconds)}s"
            )
        shown = f"{self.reading.metrics[0].name} {value:g}" if value is not None else "no value"
        where = self.run.sandbox or self.tries.options.sandbox
        took = f"{self.length.text} took {self.run.seconds:.1f} s"
        comment = (f"Tried on {today} in {where}: {took} and printed {shown}.", *(f"- {line}" for line in lines))
        tried = Tried(comment, varies, frozenset(effects.dead) if effects else frozenset())
        corrected = replace(self.reading, tried=tried)
        return TryResult(corrected, tuple(lines), (), self.tries.n_runs, value, effects)

    def value(self, run: ObservedRun) -> float | None:
        """Return the metric that a run printed."""
        loss = run.score.val_loss if run.score is not None else None
        return None if loss is None else self.task.metric.display(loss)

    def _effects(self, again: ObservedRun) -> tuple[Effects | None, list[str]]:
        """Return which names move anything, if two runs agree, and lines about it."""
        space = self.task.space
        if space is None:
            return None, []
        repeatable = Repeatable.of(Printed.of(self.run.log), Printed.of(again.log))
        if self.value(again) != self.value(self.run) or repeatable is None:
            return None, ["which names move anything is unknown, since two runs of the same seed differ"]
        how = "each changed alone" if len(space.names) > 1 else "changed"
        self.tries.say(f"  {plural(len(space.names), 'name')} of the space, {how}")
        whole = [*lengths(self.task, self.reading)][-1]
        reference = Reference(self.length, whole, self.run, repeatable)
        effects = find_effects(self.tries, space, self.task.defaults, reference)
        return effects, effects.lines(self.length)

    def _chance(self, one: float | None, two: float | None) -> tuple[bool | None, str]:
        """Return whether a fresh run has another result, and a line about chance."""
        if one is None or two is None:
            return None, "a second run of the same seed printed no metric"
        if one != two:
            return True, f"two runs of the same seed differ by {abs(one - two):.3g}: something is not seeded"
        agree = "two runs agree to the last digit"
        if not any(b"TRAIN_SEED" in text for name, text in self.task.files.items() if name.endswith(".py")):
            return False, f"{agree}; the script does not read TRAIN_SEED"
        other = self.value(self.tries.run(self.length, seed=1)) if self.tries.left > self.run.seconds else None
        if other is None:
            return None, f"{agree}; whether the seed has an effect is unknown"
        if other == one:
            return False, f"{agree}, and TRAIN_SEED has no effect"
        return True, f"{agree}; another TRAIN_SEED changes the metric by {abs(other - one):.3g}"

    def _other_metrics(self) -> list[str]:
        found = (metric for metric in _metrics_of(self.run) if not metric.of_training)
        names = {metric.name: metric.line or metric.name for metric in found}
        names.pop(self.reading.metrics[0].name, None)
        if not names:
            return []
        option = shlex.quote(next(iter(names.values())))
        return [f"also prints {', '.join(names)}; to use another metric: --metric {option} --force"]
