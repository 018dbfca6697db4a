"""A pool that is made again of the same documents, since a setting has changed: what was opened stays opened."""

import shutil
from pathlib import Path

import pytest

from agent.execution.slices.source import Openings
from agent.task.corpus import Corpus
from agent.task.host_commands.prepared import OPENED
from agent.task.task import Task
from agent.task.unseen.pool import Pool
from agent.task.unseen.pool_making import prepare_pool
from tests.conftest import TASKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TASKS / "bigram_plain", tmp_path / "task"))


@pytest.fixture
def own_cache(corpus: Corpus, tmp_path: Path) -> Path:
    """A cache of the prepared data, without a pool."""
    shutil.copytree(corpus.folder, tmp_path / "cache" / corpus.folder.name)
    return tmp_path / "cache"


def with_setting(folder: Path, old: str, new: str) -> Task:
    toml = folder / "task.toml"
    assert old in toml.read_text()
    toml.write_text(toml.read_text().replace(old, new))
    return Task.load(folder)


def shared(one: Pool, other: Pool, number: int) -> set[int]:
    """Return the slices of a pool that have a sequence of a slice of another."""
    shown = {row.tobytes() for row in other.slice(number).sequences}
    return {n for n in range(one.n_slices) if shown & {row.tobytes() for row in one.slice(n).sequences}}


def test_slices_with_text_that_a_run_has_opened_in_another_pool_count_as_opened_by_it(
    folder: Path, own_cache: Path
) -> None:
    first = prepare_pool(Task.load(folder), own_cache)
    openings = Openings(first.folder / OPENED)
    assert openings.next("run a", first.n_slices, []) == (0, 0)
    with (first.folder / OPENED).open("a") as file:
        file.write('{"slice": 1, "ru')  # torn
    second = prepare_pool(with_setting(folder, "pool_rounds = 4", "pool_rounds = 2"), own_cache)
    assert second.folder != first.folder
    again = shared(second, first, 0)
    assert again
    others = Openings(second.folder / OPENED).others("run b")
    assert {number for number, n in others.items() if n} == again
    assert (second.folder / OPENED).stat().st_mode & 0o777 == 0o600


def test_a_pool_of_which_nothing_was_opened_leaves_nothing_to_the_next(folder: Path, own_cache: Path) -> None:
    prepare_pool(Task.load(folder), own_cache)
    second = prepare_pool(with_setting(folder, "pool_rounds = 4", "pool_rounds = 2"), own_cache)
    assert not (second.folder / OPENED).exists()
