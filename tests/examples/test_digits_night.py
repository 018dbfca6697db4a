"""The replies of the example fit the script, in their order, and each has a number to tune."""

import json
from pathlib import Path

import pytest

from agent.edits.replies import blocks
from agent.edits.tune_comments import declared_ranges
from agent.errors import EditError
from agent.modes.centaur_code.tunable_space import check_ranges

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_each_reply_applies_to_the_script_of_all_before_it_and_adds_a_number_with_a_range() -> None:
    source = (EXAMPLES / "digits" / "train.py").read_text()
    replies = [json.loads(line)["reply"] for line in (EXAMPLES / "digits-night" / "replies.jsonl").open()]
    with pytest.raises(EditError, match=r"MOMENTUM = 0\.95 and its comment"):
        check_ranges(blocks.parse(replies[0], "train.py", source).apply(source))
    for n, reply in enumerate(replies[1:], start=1):
        source = blocks.parse(reply, "train.py", source).apply(source)
        check_ranges(source)
        compile(source, "train.py", "exec")
        assert len(declared_ranges(source)) == n
