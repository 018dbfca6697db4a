"""What is left out of task.toml leaves the text that there was before it was added."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.task.toml_lines import Keys, line_of, without

TEMPLATE = Path(__file__).parents[3] / "train_template" / "task.toml"
ADDED = [
    'extra = ["python", "x.py"]\n',
    'extra = [  # by the\n  "py]thon",\n\n  "x = 3",  # way\n]\n',
    '# why it is\n# there\nextra = """\n[table]\nextra = 3\n"""\n',
    '\n# a paragraph of its own\n"extra" = { a = 1 }  # said\n',
    "extra.deep = 3\n",
]


def is_extra(keys: Keys) -> bool:
    return "extra" in keys


@pytest.mark.parametrize("added", ADDED)
def test_a_key_at_the_end_of_any_table_is_left_out_to_the_byte(added: str) -> None:
    text = without(TEMPLATE.read_text(), lambda keys: keys[-1].startswith(("pool", "slice")))
    lines = text.splitlines(keepends=True)
    headers = [number for number, line in enumerate(lines) if line.startswith("[")]
    for header in headers:
        end = header + 1
        while end < len(lines) and lines[end].strip() and not lines[end].startswith("["):
            end += 1
        if end == header + 1:
            continue  # of an empty table the header goes too: nobody can tell whether it was there before
        whole = "".join([*lines[:end], added, *lines[end:]])
        assert whole != text
        assert tomllib.loads(whole)
        assert without(whole, is_extra) == text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "extra", "b-c"]), st.sampled_from(ADDED)), min_size=1, max_size=6))
def test_nothing_but_what_is_asked_for_goes(parts: list[tuple[str, str]]) -> None:
    """Tables with their own values, some with the key, in any order: the values of all others stay."""
    text = "first = 1\n" + "".join(
        f"[t{number}.{name}]\nown = [\n1]\n{added}# below\n" for number, (name, added) in enumerate(parts)
    )
    assert tomllib.loads(without(text, is_extra)) == pruned(tomllib.loads(text))
    assert without(text, lambda keys: False) == text


def pruned(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table without the key, and without the tables that held nothing else."""
    found = {}
    for key, value in table.items():
        inner = pruned(value) if isinstance(value, dict) else value
        if key != "extra" and inner != {}:
            found[key] = inner
    return found


def test_a_table_of_nothing_else_goes_with_its_header() -> None:
    before = "[a]\nx = 1\n\n# others\n[b]\ny = 2\n"
    for added in ("[a.extra]\nz = 1\n", "# about it\n[c]\n# more\nextra = 1\n", "\n[c]\n\nextra = 1\n"):
        assert without(before + added, is_extra) == before


def test_lines_are_found_in_tables_and_dotted_keys() -> None:
    text = 'a.b = 1\n[c."d"]\n# e = 0\ne = 2\n'
    assert line_of(text, ("a", "b")) == 1
    assert line_of(text, ("c", "d", "e")) == 4
    assert line_of(text, ("c", "d", "f")) == 2
