"""The output of `agent init`: each guess with its reason, and what the user should check."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.task.init.dependencies import Needs
from agent.task.init.host import has_gpu, interpreter_of
from agent.task.init.metric.direction import known_goal
from agent.task.init.metric.unnamed_values import line_to_add
from agent.task.init.python_file import Source
from agent.task.init.script_report import ScriptReport
from agent.task.init.settings.setting import KINDS
from agent.task.task_files import link_out
from agent.text import plural

_SEEDS = re.compile(r"(^|\.)(manual_seed|seed|seed_everything|set_seed|PRNGKey)$")
"""Functions that fix the seed of a training."""


@dataclass(frozen=True)
class Guess:
    """One value that was inferred from the script."""

    about: str
    value: str
    why: str


def guesses(reading: ScriptReport) -> Iterator[Guess]:
    """Yield every guess with its reason."""
    name, metric, budget = reading.script.name, reading.metrics[0], reading.budget
    if reading.lifted:
        kinds = {KINDS.get(setting.kind, "values of a settings file") for setting in reading.lifted.settings}
        why = f"a copy of {name} with its {' and '.join(sorted(kinds))} as constants at the top"
        yield Guess("script", reading.lifted.name, why)
    else:
        yield Guess("script", name, "trials edit a copy, never this file")
    better = "higher" if metric.goal == "maximise" else "lower"
    yield Guess("metric", f"{metric.name}, {better} is better", f"{metric.where} {metric.place}")
    if budget.is_known:
        amount = f"{budget.amount:g} {budget.counts} by the script's own count"
        yield Guess("budget", amount, f"{budget.where}: {budget.as_written}")
    else:
        yield Guess("budget", "one run, unchanged", "no constant or option says how long it trains")
    source = reading.lifted.settings if reading.lifted else reading.constants
    where = f"{source[0].where} and below" if source else "no number is in a place where a search could write it"
    yield Guess("space", f"{reading.n_searched} of {plural(len(source), 'value')}", where)
    for file, why in reading.needs.frozen.items():
        yield Guess("frozen", file, f"{why} needs it")
    for path, why in reading.needs.mounts.items():
        yield Guess("mount", path, f"{why} names it; read-only{_outside(reading.folder, path)}")
    why = "no .venv in the folder, and no --python"
    if reading.python:
        why = "a virtual environment in the folder" if reading.python == interpreter_of(reading.folder) else "--python"
    yield Guess("python", reading.python or "the one that runs `agent`", why)


def _outside(folder: Path, path: str) -> str:
    """Return where a relative path of a mount leads, if it is a link out of the folder; else nothing."""
    if path.startswith(("/", "~", "../")):
        return ""
    target = link_out(folder, path)
    return "; too large for a copy in every trial" if target is None else f"; a link to {target}"


def checks(reading: ScriptReport) -> Iterator[str]:
    """Yield what the user should check; what would stop a run comes first."""
    if reading.absent:
        fix = "`uv sync`, or pip install into .venv, then `agent init --force`"
        yield f"{reading.python or 'the python of `agent`'} has no {', '.join(reading.absent)}: {fix}"
    yield from _of_needs(reading.needs)
    yield from _of_the_metric(reading)
    if reading.unread:
        yield reading.unread
    if endless := reading.budget.endless:
        flag = endless.display_name
        how = f"give one: --args '{flag} 1000'" if flag.startswith("-") else "give it a positive value"
        yield f"{flag} = {endless.value} ({endless.where}): it may never end, and a trial would have no loss; {how}"
    elif not reading.budget.is_known:
        yield "no training time is set: a trial may win by training longer, up to 4 times the baseline's CPU seconds"
    if not reading.takes_seed:
        how = _how_to_seed(reading.script)
        yield f"the script does not read TRAIN_SEED, so no run under another seed can confirm a gain (see [keep]){how}"
    if reading.given:
        names = "; ".join(setting.display_name for setting in reading.given)
        yield f"not searched, since --args gives it: {names[:100]}; leave it out of --args to search it"
    if reading.lifted:
        yield f"{reading.script.name} stays unchanged, and trials do not use it; if you edit it: `agent init --force`"
    elif reading.unsearched and reading.n_searched:
        shown = ", ".join(setting.display_name for setting in reading.unsearched)
        yield f"not searched: {shown[:100]}; `agent init --block --force` writes a copy with constants for them"
    elif not reading.n_searched:
        yield "no number to search, so only --mode code-edit works: give the script constants NAME = number at its top"
    if reading.needs.uses_gpu:
        here = "--gpus 0 gives trials a GPU" if has_gpu() else "this machine has no NVIDIA driver"
        yield f"{reading.needs.uses_gpu} names cuda: {here}"
    yield "the ranges in [space] and memory_gb are guesses: edit them"
    yield "the score is self-reported: nothing checks what the script prints"
    yield 'to let the host compute it: kind = "predictions" (language models: "held_out"), see docs/own-script.md'


def _how_to_seed(script: Source) -> str:
    """Return how a call that fixes the seed would read TRAIN_SEED; empty if there is none with a number."""
    for node in ast.walk(script.tree):
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=int(seed))]) if _SEEDS.search(ast.unparse(func)):
                called = f'{ast.unparse(func)}(int(os.environ.get("TRAIN_SEED", "{seed}")))'
                return f"; to let it, write {called} at {script.at(node)}"
    return ""


def _of_needs(needs: Needs) -> Iterator[str]:
    for path, where in needs.missing.items():
        yield f"{path} ({where}) does not exist yet: prepare the data first"
    for path, where in needs.hidden.items():
        yield f"{path} ({where}) is a different folder inside a trial: mount yours elsewhere, and read it there"
    for call, where in needs.network.items():
        if call != "wandb.init":  # an environment variable turns it off
            yield f"{where} calls {call}, but trials have no network: what it loads must be in a mount"


def _of_the_metric(reading: ScriptReport) -> Iterator[str]:
    metric = reading.metrics[0]
    if (usual := known_goal(metric.name)) not in (None, metric.goal):
        yield f"--goal says {metric.goal}, but a metric called {metric.name} is one to {usual}: check goal in task.toml"
    if not metric.is_certain:
        yield f"whether {metric.where} prints `{metric.line}` is a guess: the first run shows it"
    if metric.is_named_by_user:
        return
    if metric.of_training:
        yield f"nothing says that {metric.name} ({metric.where}) is of held-out data: see --metric"
        if added := line_to_add(reading.script):
            yield f"{added}, then `agent init --force`"
    if metric.is_test:
        yield f"{metric.name} is of the test set, so its gains are no test any more: print a validation metric instead"
    as_good = [other for other in reading.metrics[1:] if other.of_training == metric.of_training]
    others = {other.name: other.option for other in as_good if other.name != metric.name}
    if others:
        option = shlex.quote(next(iter(others.values())))
        yield f"the script also prints {', '.join(others)}; to use another metric: --metric {option} --force"
