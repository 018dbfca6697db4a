"""What is written in a format is read back to the text that was meant, and to no other."""

import difflib
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.edits.formats import title_line
from agent.edits.replies import single_line, unified_diff, whole_file

text_lines = st.lists(st.text(st.characters(codec="ascii", min_codepoint=32), max_size=8), min_size=1, max_size=12)


@given(text_lines, text_lines)
def test_a_diff_that_applies_gives_the_target(old: list[str], new: list[str]) -> None:
    assume(any(line.strip() for line in old))
    diff = "\n".join(difflib.unified_diff(old, new, "train.py", "train.py", lineterm="", n=99))
    assume(old != new and not any(line.startswith(("@@", "--", "++")) for line in old + new))
    source, target = ("".join(f"{line}\n" for line in side) for side in (old, new))
    assert (
        unified_diff.parse(f"TITLE: x\n```diff\n{diff}\n```\n", source=source).apply(source).rstrip() == target.rstrip()
    )


@given(text_lines)
def test_a_whole_file_is_read_as_it_was_written(script: list[str]) -> None:
    text = "".join(f"{line}\n" for line in script)
    assume(text.strip() and "```" not in text)
    assume("..." not in text)  # what stands for lines left out is refused; see the corpus
    assert whole_file.parse(f"TITLE: x\n```python\n{text}```\n").apply("old\n") == text


@given(text_lines, st.data())
def test_a_line_that_the_schema_allows_always_matches(script: list[str], data: st.DataObject) -> None:
    source = "".join(f"{line}\n" for line in script)
    allowed = single_line.schema(source)["properties"]["search"]["enum"]
    assume(allowed)
    search = data.draw(st.sampled_from(allowed))
    edit = single_line.parse(json.dumps({"title": "t", "search": search, "replace": "NEW = 1"}))
    assert edit.apply(source).count("NEW = 1") == source.count("NEW = 1") + 1


def test_the_schema_names_lines_that_occur_once_and_not_blank() -> None:
    assert single_line.schema("a = 1\n\nb = 1\n  a = 1\n\tc\n")["properties"]["search"]["enum"] == ["b = 1", "\tc"]


@pytest.mark.parametrize(
    ("reply", "title"),
    [("TITLE: deeper", "deeper"), ("## Title: deeper **", "deeper"), ("no title\n", ""), ("TITLE = 3", "")],
)
def test_titles_are_found(reply: str, title: str) -> None:
    assert title_line(reply) == title
