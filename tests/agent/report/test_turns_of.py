"""The parts of structure and of numbers as JSON: in the result of a run, and in an attribution."""

import pytest

from agent.report.documents.trials import TurnShareDocument
from agent.report.json_documents import turns_of
from tests.agent.trials.test_turn_shares import RUN, history


def test_the_parts_are_those_of_the_text() -> None:
    structure, numbers = turns_of(history(RUN))
    assert structure == TurnShareDocument(
        kind="structure", trials=2, kept=1, gain=pytest.approx(0.1), device_seconds=4.0
    )
    assert numbers == TurnShareDocument(kind="numbers", trials=4, kept=3, gain=pytest.approx(0.9), device_seconds=8.0)


def test_there_are_none_in_another_mode() -> None:
    assert turns_of(history(RUN, with_turns=False)) == []
