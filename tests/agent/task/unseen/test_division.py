"""The division of validation examples: random, secret, drawn once for a set of examples, the same for all its runs."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import TaskError
from agent.execution.slices.source import Openings
from agent.task.corpus import Corpus
from agent.task.host_commands.prepared import digest_of
from agent.task.unseen.division import (
    ENOUGH,
    FEWEST,
    MOST,
    WANTED,
    fewest_examples,
    find_division,
    prepare_division,
    sizes,
)


def examples(folder: Path, n: int, *, row_bytes: int = 6, seed: int = 0, header: bytes = b"") -> Corpus:
    """Data with `n` random rows."""
    (folder / "val").mkdir(parents=True)
    chance = np.random.default_rng(seed)
    (folder / "val" / "inputs.bin").write_bytes(header + chance.bytes(n * row_bytes))
    np.save(folder / "val" / "labels.npy", chance.integers(0, 2, n))
    return Corpus(folder)


@given(st.integers(0, 200_000))
def test_half_of_the_examples_stand_and_slices_are_as_large_as_can_be(n: int) -> None:
    n_slices, n_rows = sizes(n)
    if n < fewest_examples():
        assert (n_slices, n_rows) == (0, 0)
        return
    assert 2 <= n_slices <= MOST
    assert n_rows >= FEWEST
    assert n_rows >= ENOUGH or n_slices <= WANTED
    assert n // 2 <= n - n_slices * n_rows < n // 2 + n_slices + 1


@pytest.mark.parametrize(
    ("n", "expected"),
    [(998, (0, 0)), (999, (2, 250)), (2000, (4, 250)), (8000, (4, 1000)), (20_000, (10, 1000)), (60_000, (20, 1500))],
)
def test_sizes_that_the_documentation_names(n: int, expected: tuple[int, int]) -> None:
    assert sizes(n) == expected


def test_every_example_stands_or_is_in_one_slice_and_its_input_is_its_own(tmp_path: Path) -> None:
    corpus = examples(tmp_path / "data", 2003)
    division = prepare_division(corpus, 2003, tmp_path)
    parts = [division.standing, *(division.slice(number) for number in range(division.n_slices))]
    assert sorted(np.concatenate(parts)) == list(range(2003))
    content = (corpus.folder / "val" / "inputs.bin").read_bytes()
    for part in parts:
        shown = division.inputs_of(part)
        assert shown == b"".join(content[6 * number : 6 * number + 6] for number in part)
    assert division.standing_inputs.read_bytes() == division.inputs_of(division.standing)
    with pytest.raises(IndexError, match="slices 0 to 3, not 4"):
        division.slice(4)


def test_it_is_drawn_once_whatever_the_data_folder_is_called(tmp_path: Path) -> None:
    first = prepare_division(examples(tmp_path / "data", 1200), 1200, tmp_path / "cache")
    again = prepare_division(examples(tmp_path / "copy", 1200), 1200, tmp_path / "cache")
    assert first.digest == again.digest
    assert list(first.order) == list(again.order)
    assert list(first.order) != list(range(1200))
    elsewhere = prepare_division(examples(tmp_path / "third", 1200), 1200, tmp_path / "other cache")
    assert elsewhere.digest != first.digest  # drawn, and not computed from the examples
    others = examples(tmp_path / "others", 1200, seed=1)
    assert find_division(others, 1200, tmp_path / "cache") is None
    assert prepare_division(others, 1200, tmp_path / "cache").digest != first.digest


def test_only_its_owner_can_read_who_stands(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        division = prepare_division(examples(tmp_path / "data", 1000), 1000, tmp_path)
    finally:
        os.umask(before)
    assert division.folder.stat().st_mode & 0o777 == 0o700
    assert (division.folder / "division.json").stat().st_mode & 0o777 == 0o600


def test_a_division_that_has_changed_is_refused_and_never_drawn_again(tmp_path: Path) -> None:
    corpus = examples(tmp_path / "data", 1000)
    path = prepare_division(corpus, 1000, tmp_path).folder / "division.json"
    about = json.loads(path.read_text())
    for changed in ("{", json.dumps({**about, "order": [*about["order"][:-1], 0]}), json.dumps({"slices": 2})):
        path.write_text(changed)
        with pytest.raises(TaskError, match=r"division.json has changed since it was made; restore it from a backup"):
            prepare_division(corpus, 1000, tmp_path)
        assert path.read_text() == changed
    path.write_text(json.dumps(about))
    path.with_name("standing.bin").write_bytes(b"other inputs")
    with pytest.raises(TaskError, match=r"standing.bin has changed"):
        find_division(corpus, 1000, tmp_path)


@pytest.mark.parametrize(
    ("row_bytes", "header", "expected"),
    [
        (7, b"?", "has 7001 bytes, which is not 1000 rows of equal size"),
        (0, b"", "has 0 bytes"),
        (8, b"\x93NUMPY" + bytes(994), "has a header"),
    ],
)
def test_inputs_that_are_no_rows_of_equal_size_are_refused(
    tmp_path: Path, row_bytes: int, header: bytes, expected: str
) -> None:
    corpus = examples(tmp_path / "data", 1000, row_bytes=row_bytes, header=header)
    with pytest.raises(TaskError) as caught:
        prepare_division(corpus, 1000, tmp_path)
    assert expected in str(caught.value)
    assert "let [data] prepare write one row for each of the 1000 labels" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("rows-*")) == []


def test_inputs_that_are_missing_are_named(tmp_path: Path) -> None:
    corpus = examples(tmp_path / "data", 1000)
    (corpus.folder / "val" / "inputs.bin").unlink()
    with pytest.raises(TaskError, match=r"val/inputs.bin cannot be read: No such file"):
        prepare_division(corpus, 1000, tmp_path)


def test_the_digest_is_of_the_file_that_says_who_stands(tmp_path: Path) -> None:
    division = prepare_division(examples(tmp_path / "data", 1000), 1000, tmp_path)
    content = (division.folder / "division.json").read_bytes()
    assert division.digest == digest_of([hashlib.sha256(content).hexdigest()])
    openings = Openings.of_pool(tmp_path, "any task", division.digest)
    assert openings is not None
    openings.next(run="r", n_slices=2, taken=[])
    assert (division.folder / "opened.jsonl").is_file()
    assert Openings.of_pool(tmp_path, "any task", "another") is None
