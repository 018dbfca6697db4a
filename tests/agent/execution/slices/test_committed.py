"""Answers on the disk: each round that was written whole counts once, and none is ever asked again."""

from pathlib import Path

import numpy as np
import pytest

from agent.errors import JournalError
from agent.execution.slices.committed import Committed

MODELS = ("baseline", "challenger")


def committed(path: Path, n_rounds: int) -> Committed:
    """Return the file with so many rounds more; the losses of round r are r for all models."""
    found = Committed(path, MODELS)
    for _ in range(n_rounds):
        found.append({}, dict.fromkeys(MODELS, np.full(3, float(found.n_rounds))))
    return found


@pytest.mark.parametrize("n_bytes", [1, 2, 20])
def test_a_torn_line_is_asked_again_and_what_follows_is_read_back_whole(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "answers.jsonl"
    committed(path, 2)
    path.write_bytes(path.read_bytes()[:-n_bytes])  # without its newline a line may still look whole
    assert committed(path, 0).n_rounds == 1
    committed(path, 2)
    again = Committed(path, MODELS)
    assert again.n_rounds == 3
    assert again.losses()["challenger"].tolist() == [[0.0, 1.0, 2.0]] * 3


@pytest.mark.parametrize("models", [("baseline", "challenger", "champion"), ("baseline", "result-100")])
def test_the_answers_of_other_models_are_refused_and_stay(tmp_path: Path, models: tuple[str, ...]) -> None:
    path = tmp_path / "answers.jsonl"
    committed(path, 2)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"answers\.jsonl has changed since the run wrote it; restore it, or"):
        Committed(path, models)
    assert path.read_bytes() == before


def test_a_line_in_the_middle_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    committed(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{}\n", lines[2]]))
    with pytest.raises(JournalError, match="has changed since the run wrote it"):
        Committed(path, MODELS)
