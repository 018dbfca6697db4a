"""What is put into another program's settings leaves everything else as it was, and can be taken out again."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.agents.settings import SettingsEntry, SettingsFile
from agent.errors import UsageError

OURS = (
    SettingsEntry(("servers", "ours"), {"command": "python", "args": ["-m", "agent"]}, is_ours=True),
    SettingsEntry(("permissions", "allow"), ["ours"]),
    SettingsEntry(("env", "WAIT"), "60"),
)
JSON, TOML = SettingsFile(Path("/p/settings.json"), OURS), SettingsFile(Path("/p/config.toml"), OURS)

keys = st.sampled_from(["servers", "permissions", "env", "other", "ours", "allow", "é", "a.b", 'quo"te', "with space"])
scalars = st.one_of(st.text(max_size=8), st.integers(-(2**60), 2**60), st.booleans(), st.floats(allow_nan=False))


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, values, max_size=4)


documents = st.one_of(
    tables(st.one_of(scalars, st.lists(scalars, max_size=3), tables(st.one_of(scalars, tables(scalars))))),
    st.fixed_dictionaries({"permissions": st.fixed_dictionaries({"allow": st.lists(st.text(max_size=3), max_size=3)})}),
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return all that a document says, by the path to it."""
    if isinstance(value, dict) and value:
        return {at: leaf for key, each in value.items() for at, leaf in leaves(each, (*path, key)).items()}
    return {path: value}


@given(documents)
def test_json_keeps_what_it_says_and_says_ours(document: dict[str, Any]) -> None:
    keeps_the_rest(JSON, json.dumps(document), json.loads)


@given(documents)
def test_toml_keeps_what_it_says_and_says_ours(document: dict[str, Any]) -> None:
    import tomlkit

    keeps_the_rest(TOML, tomlkit.dumps(document), tomllib.loads)


def keeps_the_rest(file: SettingsFile, text: str, parse: Any) -> None:
    before = parse(text)
    try:
        merged = file.merged(text)
    except UsageError:  # the test below has what is refused, and how
        return
    after = parse(merged)
    assert after["servers"]["ours"] == OURS[0].value
    assert "ours" in after["permissions"]["allow"]
    assert after["env"]["WAIT"] == "60"
    earlier, now = leaves(before), leaves(after)
    for path, value in earlier.items():
        if path[:2] == ("servers", "ours") or value == {}:
            continue
        if path == ("permissions", "allow"):
            assert now[path][: len(value)] == value
        else:
            assert now[path] == value
    assert file.merged(merged) == merged
    without = file.without(merged)
    left = parse(without) if without else {}
    assert "ours" not in left.get("servers", {})
    assert "ours" not in left.get("permissions", {}).get("allow", [])
    assert {path for path, value in earlier.items() if value not in ({}, [])} - set(leaves(left)) <= {
        ("env", "WAIT"),
        ("permissions", "allow"),
        *(path for path in earlier if path[:2] == ("servers", "ours")),
    }


def test_toml_keeps_comments_and_order() -> None:
    text = '# mine\nmodel = "m"  # dear\n\n[servers.other]\ncommand = "x"\n\n[tui]\ncolour = 1  # bright\n'
    merged = TOML.merged(text)
    for line in text.splitlines():
        assert line in merged.splitlines()
    assert TOML.without(merged) == text


def test_json_keeps_its_indent() -> None:
    assert '\n\t"a": 1' in JSON.merged('{\n\t"a": 1\n}')


def test_a_file_of_ours_alone_is_empty_afterwards() -> None:
    for file in (JSON, TOML):
        assert file.without(file.alone()) == ""


def test_another_server_command_of_ours_is_replaced() -> None:
    assert (
        json.loads(JSON.merged('{"servers": {"ours": {"command": "old"}}}'))["servers"]["ours"]["command"] == "python"
    )


def test_half_a_surrogate_pair_survives() -> None:
    assert json.loads(JSON.merged('{"a": "\\ud800é"}'))["a"] == "\ud800é"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (JSON, "{", "/p/settings.json is not JSON (Expecting property name"),
        (JSON, "// comment\n{}", "/p/settings.json is not JSON"),
        (JSON, "[" * 100_000, "/p/settings.json is not JSON (nested too deeply"),
        (JSON, "[]", "/p/settings.json holds no JSON object"),
        (JSON, '{"servers": 3}', "/p/settings.json has 3 for servers, where an object is needed"),
        (JSON, '{"permissions": {"allow": "all"}}', '/p/settings.json has "all" for permissions.allow, where a list'),
        (JSON, '{"env": {"WAIT": "5"}}', '/p/settings.json has "5" for env.WAIT, where "60" is needed'),
        (TOML, "a = ", "/p/config.toml is not TOML"),
        (TOML, "[servers]\nx = 1\n[servers]\n", "/p/config.toml is not TOML"),
        (TOML, "servers = 3", "/p/config.toml has 3 for servers, where a table is needed"),
    ],
)
def test_what_cannot_be_changed_is_named_in_one_line(file: SettingsFile, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        file.merged(text)
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith("the file is unchanged: change it by hand")
    assert "\n" not in str(caught.value)
