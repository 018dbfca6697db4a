"""What is checked before there is a baseline: a change that cannot run, or is the baseline, is refused at once."""

from pathlib import Path
from typing import Any

import pytest

from agent.modes.prompting.dialogue import ReplyError
from agent.server.early_check import check_change
from agent.store.inbox.inbox import Inbox
from agent.store.inbox.submissions import SubmissionQueue, SubmittedChange
from agent.task.task import Task
from agent.trials.steering import Submission


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"values": {"MIX": 0.7}}, None),
        ({"values": {"MIX": 70}}, "MIX"),
        ({"values": {"NO_SUCH": 1}}, "NO_SUCH: is not a name of the space"),
        ({"values": {"MIX": float("nan")}}, "MIX"),
        ({"values": {}}, "this is the baseline"),
        ({"script": "def broken("}, "does not parse"),
        ({"script": "baseline"}, "this is the baseline"),
        ({"script": "commented"}, "this is the baseline"),
        ({"script": "changed"}, None),
    ],
)
def test_a_change_is_checked_while_there_is_no_trial(
    bigram: Task, tmp_path: Path, sent: dict[str, Any], reason: str | None
) -> None:
    scripts = {
        "baseline": bigram.source,
        "commented": f"# the same\n{bigram.source}",
        "changed": bigram.source.replace("MIX = 0.5", "MIX = 0.6"),
    }
    if (script := sent.get("script")) in scripts:
        sent = {"script": scripts[script]}
    change = SubmittedChange(Submission(""), "a change", sent.get("script"), sent.get("values"))
    queue = SubmissionQueue(Inbox(tmp_path / "inbox"))
    if reason is None:
        check_change(None, bigram, bigram.source, queue, change)
        return
    with pytest.raises(ReplyError, match=reason):
        check_change(None, bigram, bigram.source, queue, change)
