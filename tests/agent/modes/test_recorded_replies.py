"""Replies as small models write them: each is read as the configuration it states, or refused with its reason.

The paper's own recordings (993 replies of Qwen3.5-0.8B) are not ours to commit. They are read from the folder that
AUTOCENTAUR_PAPER_REPLIES names, as in CI.
"""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.edits.edit import Params
from agent.modes.prompting.configuration_reply import stated_values
from agent.modes.prompting.dialogue import ReplyError
from agent.search.space import SearchSpace

RECORDINGS = Path(os.environ.get("AUTOCENTAUR_PAPER_REPLIES", "."))
FILES = ("centaur_Qwen3_5_0_8B.jsonl.gz", "karpathy_agent_hps_Qwen3_5_0_8B.jsonl.gz")
# As the paper's prompts gave it to the model: sizes are whole numbers there, snapped after they were proposed.
SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 4, "high": 24},
        "ASPECT_RATIO": {"type": "int", "low": 32, "high": 128},
        "HEAD_DIM": {"type": "int", "low": 64, "high": 256, "log": True},
        "DEVICE_BATCH_SIZE": {"type": "int", "low": 32, "high": 256, "log": True},
        "TOTAL_BATCH_SIZE": {"type": "int", "low": 65536, "high": 2097152, "log": True},
        "EMBEDDING_LR": {"type": "float", "low": 0.01, "high": 2.0, "log": True},
        "UNEMBEDDING_LR": {"type": "float", "low": 0.0005, "high": 0.05, "log": True},
        "MATRIX_LR": {"type": "float", "low": 0.005, "high": 0.2, "log": True},
        "SCALAR_LR": {"type": "float", "low": 0.05, "high": 2.0, "log": True},
        "WEIGHT_DECAY": {"type": "float", "low": 0.0, "high": 0.5},
        "WARMUP_RATIO": {"type": "float", "low": 0.0, "high": 0.3},
        "WARMDOWN_RATIO": {"type": "float", "low": 0.1, "high": 0.8},
        "FINAL_LR_FRAC": {"type": "float", "low": 0.0, "high": 0.2},
        "WINDOW_PATTERN": {"type": "categorical", "choices": ["SSSL", "SSLL", "SLSL", "LLLL", "SSSS", "LSSL"]},
    }
)
VALUES: Params = {
    "ASPECT_RATIO": 52, "DEPTH": 9, "DEVICE_BATCH_SIZE": 128, "EMBEDDING_LR": 0.4136940931441324, "FINAL_LR_FRAC": 0.02,
    "HEAD_DIM": 128, "MATRIX_LR": 0.0443, "SCALAR_LR": 0.118, "TOTAL_BATCH_SIZE": 262144, "UNEMBEDDING_LR": 0.0311,
    "WARMDOWN_RATIO": 0.52, "WARMUP_RATIO": 0.1, "WEIGHT_DECAY": 0.3, "WINDOW_PATTERN": "LSSL",
}  # fmt: skip
PRETTY = json.dumps(VALUES, indent=2)


def read(reply: str) -> Params:
    """Return the configuration in a reply. Raises ReplyError or ValueError with the reason why it holds none."""
    return SPACE.canonical(stated_values(reply))


@pytest.mark.parametrize(
    "reply",
    [
        PRETTY,
        f"```json\n{PRETTY}\n```",
        f"```\n{PRETTY}\n```\n",
        f"Low sigma, so I stay near the mean.\n\n{PRETTY}\n\nThis should train faster.",
        PRETTY.replace("262144", "262144.0"),
        PRETTY.replace('"DEPTH": 9,', '"DEPTH": 9,\n  "DEPTH": 9,'),  # a small model in a loop that still closes it
    ],
    ids=["clean", "fenced", "fenced without a language", "in prose", "a whole number with a point", "said twice alike"],
)
def test_a_configuration_is_read_whatever_stands_around_it(reply: str) -> None:
    assert read(reply) == {**SPACE.canonical(VALUES)}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (json.dumps({k: v for k, v in VALUES.items() if k != "ASPECT_RATIO"}), "ASPECT_RATIO: is missing"),
        (json.dumps({**VALUES, "SCALER": 0.1}), "SCALER: is not a name of the space"),
        (json.dumps({**VALUES, "MATRIX_LR": 0.3}), "MATRIX_LR: 0.3 is outside 0.005 to 0.2"),
        (json.dumps({**VALUES, "WINDOW_PATTERN": "SLLS"}), "WINDOW_PATTERN: 'SLLS' is not one of"),
        (json.dumps({**VALUES, "DEPTH": "9"}), "DEPTH: '9' is not a number"),
        (PRETTY.replace('"DEPTH": 9,', '"DEPTH": 9,\n  "DEPTH": 12,'), "DEPTH is given twice, as 9 and 12"),
        (PRETTY[:200], "not one JSON object"),
        ('{\n  "DEPTH": 16,' + '\n  "WEIGHT_DECAY": 0.3,' * 300, "not one JSON object"),
        (f"[\n{PRETTY},\n{PRETTY}\n]", "more than one JSON object"),
        ("<think>I should go deeper.", "has no JSON object"),
    ],
    ids=["missing", "extra", "beyond", "unknown choice", "text", "twice", "cut off", "a loop", "a list", "thinking"],
)
def test_any_other_reply_is_refused_with_its_reason(reply: str, reason: str) -> None:
    with pytest.raises((ReplyError, ValueError)) as refused:
        read(reply)
    assert reason in str(refused.value)


@pytest.mark.skipif(not (RECORDINGS / FILES[0]).is_file(), reason="AUTOCENTAUR_PAPER_REPLIES names no recordings")
@pytest.mark.parametrize("file", FILES)
def test_every_recorded_reply_of_the_paper_is_read_or_refused_with_its_reason(file: str) -> None:
    with gzip.open(RECORDINGS / file, "rt") as lines:
        records = [json.loads(line) for line in lines]
    came_to = Counter(_came_to(record) for record in records)
    assert came_to["read"] + came_to["refused"] == len(records)
    assert came_to["read"] > 0.85 * len(records)
    print(file, dict(came_to))


def _came_to(record: dict[str, Any]) -> str:
    """Return what becomes of a recorded reply; its faults must be those that were found when it was recorded."""
    stated = _stated(record["response"])
    if isinstance(stated, ReplyError):
        # What the paper's reader took all the same is a list, of which it took one, or a name with two values.
        ambiguous = any(why in stated.reason for why in ("more than one JSON object", "is given twice"))
        assert ambiguous or record["parse"] not in ("clean", "fence"), stated.reason
        return "refused"
    faults = {fault.partition(":")[0] for fault in SPACE.validate(stated)}
    if "missing" in record:  # else it was not recorded what is wrong with it
        assert faults == {name for kind in ("missing", "extra", "oob", "badtype") for name in record[kind]}
    return "refused" if faults else "read"


def _stated(reply: str) -> dict[str, object] | ReplyError:
    try:
        return stated_values(reply)
    except ReplyError as refused:
        return refused
