"""Marks within the code are recognised by matching with the script; what only looks like a block is refused."""

import pytest

from agent.edits.replies.blocks import parse
from agent.errors import EditError

HEADING = '"""Notes\n=======\n\ntext\n"""\nW = 2.0\n'
PROMPT = 'PROMPT = """\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"""\nW = 2.0\n'
CONFLICT = 'x = """\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> main\n"""\nW = 2.0\n'
FENCED = 'H = """\n```\nuse\n```\n"""\nW = 2.0\n'


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


def edited(reply: str, source: str) -> str:
    return parse(reply, "train.py", source).apply(source)


@pytest.mark.parametrize("source", [HEADING, HEADING.replace("=======", "====="), PROMPT, CONFLICT, FENCED])
@pytest.mark.parametrize("more", [True, False])
def test_marks_of_the_script_may_be_quoted(source: str, more: bool) -> None:
    source += "print(W)\n"
    quoted = source.removesuffix("print(W)\n")
    reply = block(quoted, quoted.replace("W = 2.0", "W = 1.0"))
    expected = source.replace("W = 2.0", "W = 1.0")
    if more:
        reply = f"TITLE: x\n\n{reply}\nAnd:\n\n" + block("print(W)\n", "print(2 * W)\n")
        expected = expected.replace("print(W)", "print(2 * W)")
    assert edited(reply, source) == expected


def test_a_heading_may_come_with_the_change() -> None:
    new = '"""Notes\n=====\nMore\n=====\n'
    assert edited(block('"""Notes\n', new), HEADING) == HEADING.replace('"""Notes\n', new)


def test_lines_of_a_conflict_may_go() -> None:
    conflict = CONFLICT.partition('"""\n')[2].partition('"""')[0]
    assert edited(block(conflict, "b\n"), CONFLICT) == 'x = """\nb\n"""\nW = 2.0\n'


def test_a_fence_of_the_script_stays_and_one_around_the_code_goes() -> None:
    assert edited(block("```\nuse\n```\n", "```\nuse it\n```\n"), FENCED) == FENCED.replace("use", "use it")
    plain = FENCED.replace("```\n", "")
    assert edited(block("use\n", "```\nuse\n```\n"), plain) == FENCED
    assert edited(block("W = 2.0\n", "```python\nW = 3.0\n```\n"), FENCED) == FENCED.replace("2.0", "3.0")


@pytest.mark.parametrize(
    "stray",
    [
        "<<<<<<< ORIGINAL\nb = 2\n=======\nb = 3\n>>>>>>> UPDATED\n",
        "> <<<<<<< SEARCH\n> b = 2\n> =======\n> b = 3\n> >>>>>>> REPLACE\n",
        "<<< SEARCH\nb = 2\n=======\nb = 3\n>>> REPLACE\n",
        "<<<<<<<<<<<< SEARCH\nb = 2\n=======\nb = 3\n>>>>>>>>>>>> REPLACE\n",
        "<<<<<<< search\nb = 2\n=======\nb = 3\n>>>>>>> replace\n",
        "<<<<<<<\nb = 2\n=======\nb = 3\n>>>>>>>\n",
        "b = 2\n=======\nb = 3\n>>>>>>> REPLACE\n",
        "--- a/train.py\n+++ b/train.py\n@@ -2 +2 @@\n-b = 2\n+b = 3\n",
        "@@ -2 +2 @@\n-b = 2\n+b = 3\n",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_looks_like_an_edit_and_is_none_refuses_all(stray: str, is_first: bool) -> None:
    good = block("a = 1\n", "a = 2\n")
    reply = stray + "\n" + good if is_first else good + "\n" + stray
    with pytest.raises(EditError, match=r"line \d+ of the reply"):
        edited(reply, "a = 1\nb = 2\n")


@pytest.mark.parametrize("named", ["{}", "src/{}", "`{}`", "({})", ": {}", '"{}"', "**{}**"])
def test_only_the_script_may_be_named_after_search(named: str) -> None:
    reply = block("a = 1\n", "a = 2\n").replace("SEARCH", f"SEARCH {named}")
    assert edited(reply.format("train.py"), "a = 1\n") == "a = 2\n"
    with pytest.raises(EditError, match=r"^block 1 changes score\.py; only train\.py may be changed$"):
        edited(reply.format("score.py"), "a = 1\n")


@pytest.mark.parametrize("gap", ["", "\n", "So:\n", "```\n"])
def test_code_after_the_end_of_a_block_is_not_dropped(gap: str) -> None:
    reply = block("a = 1\n", "") + gap + "a = 2\n"
    with pytest.raises(EditError, match=r"line \d of the reply \(a = 2\) is code after the end of a block"):
        edited(reply, "a = 1\nb = 2\n")
    for prose in ("Done\n", "So: a is gone\n", "a was 1.\n", "Before:\n```\na = 1\n```\n"):
        assert edited(block("a = 1\n", "") + gap + prose, "a = 1\nb = 2\n") == "b = 2\n"


def test_a_mark_that_is_misspelt_swallows_no_other_block() -> None:
    reply = "<<<<<<< SEARCH\na = 1\n=======\na = 2\n>>>>>>> UPDATED\n\n" + block("b = 2\n", "b = 3\n")
    with pytest.raises(EditError, match="block 1: line 5 of the reply"):
        edited(reply, 'x = """\na = 1\n"""\nb = 2\n')


def test_code_that_is_left_out_is_refused_unless_the_script_says_so() -> None:
    reply = block("a = 1\n", "a = 2\n# ... rest of the code unchanged ...\n")
    with pytest.raises(EditError, match="REPLACE of block 1: line 2 replaces lines that are left out"):
        edited(reply, "a = 1\n")
    assert "a = 2\n" in edited(reply, "# ... rest of the code unchanged ...\na = 1\n")


@pytest.mark.parametrize(
    ("source", "search", "replace", "expected"),
    [
        ("a = 1\nb = 1\n", "b = 1\n\n", "b = 2\n", "a = 1\nb = 2\n"),
        ("a = 1\r\nb = 1", "b = 1\n", "b = 2\nc = 3\n", "a = 1\r\nb = 2\r\nc = 3"),
        ("\ufeffa = 1\r\nb = 1\r\n", "a = 1\n", "a = 2\nc = 2\n", "\ufeffa = 2\r\nc = 2\r\nb = 1\r\n"),
        ("a = 1\nb = 1", "a = 1\nb = 1\n", "b = 2\n", "b = 2"),
        ("a = 1\n\x0c\nb = 1\n", "b = 1\n", "b = 2\n", "a = 1\n\x0c\nb = 2\n"),
        ("def f():\n\treturn 1\n", "\treturn 1\n", "\treturn 2\n", "def f():\n\treturn 2\n"),
    ],
)
def test_line_ends_and_the_end_of_the_script_stay(source: str, search: str, replace: str, expected: str) -> None:
    assert edited(block(search, replace), source) == expected


@pytest.mark.parametrize(
    "reply", ["<<<<<<< SEARCH\n" * 20_000, block("x\n", "y\n") * 3_000, ">>>>>>> REPLACE\n" * 20_000]
)
def test_many_marks_are_refused(reply: str) -> None:
    with pytest.raises(EditError):
        edited(reply, FENCED)
