"""Ten questions that users have: the answer is at most two links away from the first page of the documentation."""

from functools import cache
from pathlib import Path

import pytest

from agent.trials.trial import KeepState, Origin, Status
from tests.docs.pages import ROOT, anchors, links

FIRST = "docs/index.md"
ANSWERS = {
    "How do I use Ollama?": "docs/models.md#ollama",
    "How do I use my own script?": "docs/own-script.md",
    "How do I limit the cost?": "docs/cost.md#set-a-limit-first",
    "How do I resume a run?": "docs/resume.md",
    "How do I use two GPUs?": "docs/parallel.md",
    "How noisy is my script?": "docs/faq.md#how-noisy-is-my-script",
    "How do I read a run from Python?": "docs/json-and-python.md#python",
    "How do I run it in CI?": "docs/ci.md",
    "How do I run it over ssh?": "docs/ssh.md",
    "How do I remove a run?": "docs/index.md#what-is-on-your-disk-afterwards",
}


@cache
def targets(page: str) -> frozenset[str]:
    """Return where the links of a page lead, as `docs/PAGE.md#anchor`; links out of the documentation are left out."""
    found = set[str]()
    for link in links():
        if link.page == page and ":" not in link.target:
            name, mark, anchor = link.target.partition("#")
            goal = ((ROOT / page).parent / name).resolve() if name else ROOT / page
            if goal.is_relative_to(ROOT / "docs"):
                found.add(f"{goal.relative_to(ROOT)}{mark}{anchor}")
    return frozenset(found)


def within(n_links: int) -> set[str]:
    """Return every place that at most so many links lead to from the first page."""
    reached = {FIRST}
    for _ in range(n_links):
        reached |= {target for place in reached for target in targets(place.partition("#")[0])}
    return reached


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_is_two_links_away(answer: str) -> None:
    page, _, anchor = answer.partition("#")
    assert (ROOT / page).is_file()
    assert not anchor or anchor in anchors(Path(ROOT / page))
    assert answer in within(2)


def test_a_page_that_nothing_leads_to_is_not_reached() -> None:
    assert "docs/changelog.md" in {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert "docs/changelog.md" not in within(1)
    assert within(0) == {FIRST}


def test_the_glossary_explains_each_word_of_the_tables() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = {*Status, *KeepState, *Origin} - {Status.OK}  # a trial with a loss is shown with its verdict
    assert [word.value for word in words if f"`{word.value}`" not in text] == []
