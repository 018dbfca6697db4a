"""A whole file is taken whole, with fences of its own, or it is refused; what its lines end in stays as it was."""

import contextlib

import pytest

from agent.edits.replies.whole_file import parse
from agent.errors import EditError

FENCED = 'W = 2.0\nHELP = """Usage\n```\npython train.py\n```\n"""\nprint(W)\n'
PLAIN = "import math\nW = 2.0\nprint(math.log(W))\n"


def edited(reply: str, source: str) -> str:
    return parse(reply, source).apply(source)


@pytest.mark.parametrize("after", ["", "\nDone.\n", "\nRun it:\n\n```bash\npython train.py --fast\n```\n"])
@pytest.mark.parametrize("source", [FENCED, FENCED.replace("```", "  ```python\n  ```"), PLAIN])
def test_a_fence_of_the_script_does_not_end_it(source: str, after: str) -> None:
    new = source.replace("W = 2.0", "W = 1.0")
    assert edited(f"TITLE: lower W\n\n```python\n{new}```\n{after}", source) == new


def test_a_fence_around_the_whole_reply_is_looked_into() -> None:
    assert edited(f"````markdown\nTITLE: x\n\n```python\n{PLAIN}```\n````\n", PLAIN) == PLAIN


def test_an_unfenced_file_is_read_without_its_title() -> None:
    assert edited(f"TITLE: deeper\n\n{PLAIN}", PLAIN) == PLAIN


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("```python\nimport math\n```\nand\n```python\nW = 3.0\nprint(W)\n```\n", "code in a second fence"),
        ("```python\nimport math\nW = 3.0\n```\nprint(math.log(W))\n", "line 5 of the reply is a line of the script"),
        (f"```python\n{PLAIN}", "does not end"),
        (f"```python\n{PLAIN}# ... rest of the code unchanged ...\n```\n", "left out"),
        ("I would lower W.", "no code found"),
    ],
)
def test_a_file_in_parts_is_refused(reply: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem):
        edited(reply, PLAIN)


def test_an_example_that_the_file_contains_is_no_other_code() -> None:
    assert edited(f"I add a line:\n```python\nW = 2.0\n```\nAll:\n```python\n{PLAIN}```\n", PLAIN) == PLAIN


@pytest.mark.parametrize(
    ("source", "sent", "expected"),
    [
        ("a = 1\r\nb = 1\r\n", "a = 2\nb = 1\n", "a = 2\r\nb = 1\r\n"),
        ("\ufeffa = 1\nb = 1\n", "a = 2\nb = 1\n", "\ufeffa = 2\nb = 1\n"),
        ("a = 1\nb = 1", "a = 2\nb = 1\n", "a = 2\nb = 1"),
        ("a = 1\r\nb = 1", "a = 2\nb = 1\n", "a = 2\r\nb = 1"),
        ("a = 1\r\nb = 1\nc = 1\r\n", "a = 1\nb = 1\nc = 2\n", "a = 1\r\nb = 1\nc = 2\r\n"),
    ],
)
def test_line_ends_mark_and_end_stay(source: str, sent: str, expected: str) -> None:
    assert edited(f"```python\n{sent}```\n", source) == expected


@pytest.mark.parametrize("piece", ["```python\n", "```\n", "~~~\n````\n", "```\nx = 1\n"])
@pytest.mark.parametrize("source", [PLAIN, FENCED])
def test_many_fences_are_read_or_refused(piece: str, source: str) -> None:
    with contextlib.suppress(EditError):  # and nothing else, and it ends
        edited(piece * 20_000, source)


@pytest.mark.parametrize("reply", ["```python\na = 1\nb = 2\n```\nc = 3\n", "c = 3\n\n```python\na = 1\nb = 2\n```\n"])
def test_new_code_outside_of_the_fence_is_not_dropped(reply: str) -> None:
    with pytest.raises(EditError, match=r"line \d of the reply is code, but not in the fence"):
        parse(reply, "a = 1\n")
    assert parse(reply.replace("c = 3", "TITLE: c\n- c = 3\nIt sets c = 3."), "a = 1\n").text == "a = 1\nb = 2\n"


def test_a_second_fence_with_code_that_does_not_parse_is_refused() -> None:
    reply = "```python\na = 1\nb = 2\nd = sum(range(10)) + sum(range(20))\n```\n```\nc = 3\n{\n```\n"
    with pytest.raises(EditError, match="line 7 of the reply is code in a second fence"):
        parse(reply, "a = 1\n")
    shown = "```bash\npython train.py --lr=0.1 | tee log\n```\n```\nstep 1 loss=2.5\n```\n"
    assert (
        parse(reply.replace("```\nc = 3\n{\n```\n", shown), "a = 1\n").text
        == "a = 1\nb = 2\nd = sum(range(10)) + sum(range(20))\n"
    )
