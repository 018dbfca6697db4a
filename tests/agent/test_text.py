"""Numbers of things read as people say them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.report.html.page import render
from agent.report.html.tables import RunOnPage
from agent.report.run_summary import summary
from agent.text import inert, one_line, plural
from agent.trials.repeat import Purpose
from tests.agent.report.test_headline import METRIC, Past
from tests.made_runs import BASELINE, made_run


@pytest.mark.parametrize(("n", "expected"), [(0, "0 replies"), (1, "1 reply"), (2, "2 replies")])
def test_only_one_thing_is_singular(n: int, expected: str) -> None:
    assert plural(n, "reply", "replies") == expected
    assert plural(n, "trial") == f"{n} trial{'' if n == 1 else 's'}"


def test_a_run_of_one_trial_and_one_repeat_is_in_the_singular() -> None:
    past = Past().trial(1.0).again(0, 1, 1.01, Purpose.BASELINE)
    assert "1 trial: 1 baseline; 1 repeat" in summary(past.history, METRIC, past.keeper)


def test_a_page_of_one_trial_is_in_the_singular(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE])
    page = render([RunOnPage(stored, stored.task(0), {}, None)], datetime(2026, 11, 22, tzinfo=UTC))
    words = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "1 trial:" in words
    assert re.findall(r"\b1 (?:fresh )?(?:trials|runs|repeats|calls|configurations)\b", words) == []


HIDDEN = "\x00\x1b\x7f\x9b\u00ad\u034f\u061c\u115f\u200b\u202e\u2066\u2800\u3164\ufeff\ufff9\U000e0001\U000e0100"


@pytest.mark.parametrize("character", HIDDEN)
def test_what_steers_or_hides_reaches_no_reader(character: str) -> None:
    assert one_line(f"a{character}b") == "a b"
    assert inert(f"a{character}b") == "a" + character.encode("unicode_escape").decode() + "b"


def test_plain_text_of_any_language_stays() -> None:
    text = "Größe\t深さ עומק ✔\ufe0f\n"
    assert inert(text) == text
