"""Of a change in several blocks, only those that failed are sent again; all apply together or none."""

import pytest

from agent.edits.search_replace import Block, SearchReplace
from agent.errors import EditError
from agent.modes.prompting.code_edit_reply import Draft

SOURCE = "a = 1\nb = 1\nc = 1\n"


def blocks(*pairs: tuple[str, str]) -> SearchReplace:
    return SearchReplace(tuple(Block(f"{search}\n", f"{replace}\n") for search, replace in pairs))


A, B, WRONG = ("a = 1", "a = 2"), ("b = 1", "b = 2"), ("q = 7", "b = 2")


def begun() -> Draft:
    """A draft of which the first block stands and the second failed."""
    draft = Draft(SOURCE)
    with pytest.raises(EditError, match=r"block 2: .*(?s:.*)1 that match are kept \('a = 1'\)"):
        draft.with_reply("two", blocks(A, WRONG))
    return draft


@pytest.mark.parametrize("title", ["two", "Two", ""])
def test_only_the_failed_block_need_be_sent_again(title: str) -> None:
    assert begun().with_reply(title, blocks(B)).apply(SOURCE) == "a = 2\nb = 2\nc = 1\n"


def test_all_blocks_may_be_sent_again() -> None:
    assert begun().with_reply("two", blocks(("a = 1", "a = 9"), B)).apply(SOURCE) == "a = 9\nb = 2\nc = 1\n"


def test_another_title_is_another_change() -> None:
    assert begun().with_reply("one", blocks(B)).apply(SOURCE) == "a = 1\nb = 2\nc = 1\n"


def test_nothing_applies_before_all_blocks_match() -> None:
    draft = begun()
    with pytest.raises(EditError, match="block 1: SEARCH is not in the script"):
        draft.with_reply("two", blocks(WRONG))
    assert draft.with_reply("two", blocks(B)).apply(SOURCE) == "a = 2\nb = 2\nc = 1\n"


def test_what_was_whole_does_not_stand_afterwards() -> None:
    draft = Draft(SOURCE)
    draft.with_reply("two", blocks(A, B))
    assert draft.with_reply("two", blocks(B)).apply(SOURCE) == "a = 1\nb = 2\nc = 1\n"
