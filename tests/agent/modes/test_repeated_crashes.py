"""A run says once that its trials keep crashing, and suggests a constraint where sizes do not fit each other."""

import os
from pathlib import Path

import pytest

from agent.modes.repeated_crashes import crash_warning
from agent.search.space import SearchSpace
from agent.trials.trial import Status, Trial
from tests import commands
from tests.agent.modes.run_so_far import baseline, trial

TABLES = {
    "EMBED_DIM": {"type": "int", "low": 8, "high": 512},
    "NUM_HEADS": {"type": "int", "low": 1, "high": 16},
}
SPACE = SearchSpace.from_tables(TABLES)
SOURCE = "EMBED_DIM = 64\nNUM_HEADS = 4\n"
DIVISIBLE = "exit 1: AssertionError: embed_dim must be divisible by num_heads"
SUGGESTED = 'constraints = ["EMBED_DIM % NUM_HEADS == 0"]'


def crashed(number: int, reason: str) -> Trial:
    return trial(number, status=Status.CRASHED, reason=reason, params={"EMBED_DIM": 67, "NUM_HEADS": 12})


def warnings(trials: list[Trial], space: SearchSpace | None = SPACE, source: str = SOURCE) -> list[tuple[int, str]]:
    """Return the number of trials after which there is a warning, with it."""
    found = [(n, crash_warning(trials[:n], space, source)) for n in range(1, len(trials) + 1)]
    return [(n, line) for n, line in found if line is not None]


def test_the_third_crash_with_the_same_last_line_is_reported_once() -> None:
    fine = trial(3, loss=2.4)
    reasons = [f"exit 1: ValueError: {n} is odd" for n in (3, 5, 7, 9, 11)]
    trials = [baseline(), *(crashed(n, reason) for n, reason in enumerate(reasons[:2], 1)), fine]
    trials += [crashed(n, reason) for n, reason in enumerate(reasons[2:], 4)]
    assert warnings(trials, None) == [(5, "3 trials crashed with the same last line: ValueError: 7 is odd")]


def test_three_crashes_in_a_row_are_reported_whatever_they_print() -> None:
    trials = [baseline(), *(crashed(n, f"exit 1: Error{'abcd'[n]}") for n in range(4))]
    assert warnings(trials, None) == [(4, "3 trials in a row crashed, the last one: Errorc")]


def test_failures_that_are_no_crashes_and_proposals_that_never_ran_do_not_count() -> None:
    trials = [baseline(), crashed(1, DIVISIBLE), crashed(2, DIVISIBLE), trial(3, status=Status.NO_PROPOSAL)]
    trials += [trial(4, status=Status.DIVERGED), trial(5, loss=2.4)]
    assert warnings(trials) == []


@pytest.mark.parametrize(
    ("line", "source", "suggestion"),
    [
        (DIVISIBLE, SOURCE, SUGGESTED),
        ("exit 1: KeyError: 3", SOURCE + "assert EMBED_DIM // NUM_HEADS > 8\n", "EMBED_DIM // NUM_HEADS > 8"),
        ("exit 1: KeyError: 3", "EMBED_DIM = 64\nassert EMBED_DIM > 60\n", "KeyError: 3"),  # the points meet it
        ("exit 1: AssertionError", SOURCE + "assert EMBED_DIM // NUM_HEADS > 8\n", "EMBED_DIM // NUM_HEADS > 8"),
        ("exit 1: RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)", SOURCE, SUGGESTED),
        ("exit 1: RuntimeError: size mismatch", "DEPTH = 3\n", "[space] constraints: docs/tasks.md"),
    ],
)
def test_a_constraint_is_suggested(line: str, source: str, suggestion: str) -> None:
    ((_, warning),) = warnings([baseline(), *(crashed(n, line) for n in (1, 2, 3))], SPACE, source)
    assert suggestion in warning
    assert warning.endswith(suggestion) or suggestion in warning.partition(": for a new run")[2]


def test_a_condition_on_a_text_is_suggested() -> None:
    tables = {**TABLES, "OPTIMIZER": {"type": "categorical", "choices": ["sgd", "adam"]}}
    source = SOURCE + "OPTIMIZER = 'adam'\nassert OPTIMIZER != 'sgd' or NUM_HEADS < 8\n"
    points = {"EMBED_DIM": 67, "NUM_HEADS": 12, "OPTIMIZER": "sgd"}
    trials = [trial(n, status=Status.CRASHED, reason="exit 1: AssertionError", params=points) for n in (1, 2, 3)]
    ((_, warning),) = warnings([baseline(), *trials], SearchSpace.from_tables(tables), source)
    assert 'constraints = ["OPTIMIZER != \'sgd\' or NUM_HEADS < 8", "EMBED_DIM % NUM_HEADS == 0"]' in warning


def test_only_the_points_that_crashed_alike_count() -> None:
    meets = {"EMBED_DIM": 64, "NUM_HEADS": 4}
    other = trial(3, status=Status.CRASHED, reason="exit 1: MemoryError", params=meets)
    fine = trial(4, loss=2.4)
    trials = [baseline(), crashed(1, DIVISIBLE), crashed(2, DIVISIBLE), fine, other, trial(5, loss=2.4)]
    ((_, warning),) = warnings([*trials, crashed(6, DIVISIBLE)])
    assert SUGGESTED in warning


def test_nothing_is_suggested_that_the_space_has_or_without_a_space() -> None:
    trials = [baseline(), *(crashed(n, DIVISIBLE) for n in (1, 2, 3))]
    same = SearchSpace.from_tables(TABLES, constraints=["EMBED_DIM % NUM_HEADS == 0"])
    assert SUGGESTED not in warnings(trials, same)[0][1]
    assert "constraints" not in warnings(trials, None)[0][1]


def test_a_run_prints_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "EMBED_DIM = 64\nNUM_HEADS = 4\nif EMBED_DIM % NUM_HEADS:\n    raise ValueError('width')\n"
        "print(f'val_loss: {1 / EMBED_DIM}')\n"
    )
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "x"\n[score]\nkind = "printed"\nline = "val_loss: {}"\n[budget]\nunit = "work"\namount = 1\n'
        'counted_by = "script"\n[limits]\nwall_seconds = 60\nmemory_gb = 1\n[space]\n'
        'EMBED_DIM = { type = "int", low = 64, high = 67 }\nNUM_HEADS = { type = "int", low = 4, high = 16 }\n'
    )
    done = commands.agent(
        "run", "--task", ".", "--mode", "random", "--trials", "7", "--seed", "1", cwd=tmp_path, env=dict(os.environ)
    )
    output = [line for line in (done.stdout + done.stderr).splitlines() if "warning:" in line and "crashed" in line]
    assert len(output) == 1, done.stdout + done.stderr
    assert SUGGESTED in output[0]
