"""Opens what the scripts of a task are trained and scored with: its data, slices of unseen data, and scorer."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from agent.errors import MissingRequirementError, TaskError
from agent.execution.scoring.scorer import Scorer, ScorerInputs
from agent.execution.slices.source import SliceSource
from agent.task.corpus import Corpus, find_corpus, prepare_corpus
from agent.task.task import Task
from agent.task.unseen.division import Division
from agent.text import Say, plural
from sandbox.job import Sandbox


def scorer_of(
    task: Task, corpus: Corpus | None, sandbox: Sandbox, split: str = "val", division: Division | None = None
) -> Scorer:
    """Return the scorer that task.toml declares, for a split of the data, or for the standing part of a division."""
    scorer: Scorer = import_module(task.score.row.module).open_scorer(
        ScorerInputs(task, corpus, sandbox, split, division)
    )
    return scorer


def division_of(task: Task, corpus: Corpus | None, cache: Path, say: Say, *, make: bool = True) -> Division | None:
    """Return the division of the validation examples; if there is none yet, draw it, unless `make` is False.

    Returns:
        None where the host does not compare predictions with labels, and where they do not suffice; `say` gets why.

    Raises:
        TaskError: the inputs are not rows of equal size, the labels are unusable, or the division is broken.
    """
    if corpus is None or not task.score.row.compares_labels:
        return None
    from agent.execution.scoring.predictions import examples_of
    from agent.execution.slices.row_slices import why_too_alike
    from agent.task.unseen.division import fewest_examples, find_division, prepare_division

    examples = examples_of(task, corpus, "val")
    n = len(examples.labels)
    if not make:
        return find_division(corpus, n, cache)
    if n < fewest_examples():
        why = f"{plural(n, 'validation example')} are too few for slices, which take {fewest_examples()}"
    else:
        division = prepare_division(corpus, n, cache)
        found = why_too_alike(task, examples, division)
        if found is None:
            return division
        why = found
    say(f"{why}: gains will be repeated, not confirmed")
    return None


def slices_of(
    task: Task,
    corpus: Corpus | None,
    cache: Path,
    sandbox: Sandbox,
    say: Say,
    *,
    division: Division | None,
    make: bool = True,
) -> SliceSource | None:
    """Return the slices that gains are confirmed on; None if the task has none, or none yet and `make` is False.

    Raises:
        TaskError: the pool is too small for one slice, or broken.
        MissingRequirementError: making the pool failed.
    """
    if corpus is not None and division is not None:
        from agent.execution.scoring.predictions import examples_of
        from agent.execution.slices.row_slices import RowSlices

        return RowSlices(task, examples_of(task, corpus, "val"), division, sandbox)
    if corpus is None or not task.data.pool:
        return None
    from agent.execution.slices.text_slices import TextSlices
    from agent.task.unseen.pool import find_pool
    from agent.task.unseen.pool_making import prepare_pool

    pool = find_pool(task, cache)
    if pool is None and not make:
        return None
    if pool is None:
        say(f"making the pool of {task.name} (once): text that no job has seen")
        pool = prepare_pool(task, cache)
    return TextSlices(task, corpus, pool, sandbox)


def corpus_of(task: Task, cache: Path, say: Say) -> Corpus | None:
    """Return the task's data, prepared now if necessary; None if the task declares none and its script has its own.

    Raises:
        TaskError: the task's score needs data, and it declares none.
        MissingRequirementError: preparing failed.
    """
    if not task.data.prepare:
        if task.score.row.needs_data:
            raise TaskError(f"{task.folder}/task.toml: score.kind = {task.score.kind!r} needs [data] prepare")
        return None
    found = find_corpus(task, cache)
    if found is not None:
        return found
    say(f"preparing the data of {task.name} (once, about a minute)")
    return prepare_corpus(task, cache)


def passed_variables(task: Task, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's variables that task.toml lets through. Raises MissingRequirementError for one not set."""
    missing = [name for name in task.environment.variables if name not in variables]
    if missing:
        raise MissingRequirementError(f"the task passes on the variable {missing[0]}, which is not set; export it")
    return {name: variables[name] for name in task.environment.variables}
