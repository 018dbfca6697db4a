"""Templates and values match exactly, or nothing is sent."""

from pathlib import Path

import pytest

from agent.errors import PromptError
from agent.llm.prompt_templates import PARTS, PromptSet


def written(root: Path, **texts: str) -> PromptSet:
    for part in PARTS:
        (root / "mode").mkdir(exist_ok=True)
        (root / "mode" / f"{part}.md").write_text(texts.get(part, ""))
    return PromptSet.load("mode", root)


def test_places_are_filled_and_values_are_not_templates(tmp_path: Path) -> None:
    prompts = written(tmp_path, user="$$5 for $source!")
    assert prompts.fill("user", {"source": "price = '$goal ${x} $'"}) == "$5 for price = '$goal ${x} $'!"


def test_a_place_without_a_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"mode/user.md has an unknown placeholder \$goal"):
        written(tmp_path, user="$goal").fill("user", {})


def test_a_value_without_a_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"lacks the placeholder \$goal"):
        written(tmp_path, user="Hello").fill("user", {"goal": "x"})


def test_a_lone_dollar_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="without a name"):
        written(tmp_path, repair="5 $ each")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"system\.md"):
        PromptSet.load("nothing", tmp_path)


def test_the_hash_follows_every_text(tmp_path: Path) -> None:
    hashes = {written(tmp_path, **{part: "x"}).hash for part in PARTS} | {written(tmp_path).hash}
    assert len(hashes) == len(PARTS) + 1
