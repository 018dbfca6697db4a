"""A script that begins with a byte order mark is edited like any other, and keeps the mark."""

import pytest

from agent.edits.assignments import Assignments
from agent.edits.edit import Edit, WholeFile
from agent.edits.formats import FORMATS
from agent.edits.guard import Guard
from agent.edits.replies import single_line
from agent.errors import EditError

MARK = "\ufeff"
SCRIPT = f"{MARK}LR = 0.1  # é\nprint(LR)\n"
EDITED = f"{MARK}LR = 0.2  # é\nprint(LR)\n"


def parsed(form: str, reply: str) -> Edit:
    return FORMATS[form].parse(reply, "train.py", SCRIPT)


@pytest.mark.parametrize(
    "edit",
    [
        Assignments({"LR": 0.2}),
        parsed("search-replace", "<<<<<<< SEARCH\nLR = 0.1  # é\n=======\nLR = 0.2  # é\n>>>>>>> REPLACE\n"),
        parsed("diff", "--- a/train.py\n+++ b/train.py\n@@\n-LR = 0.1  # é\n+LR = 0.2  # é\n print(LR)\n"),
        parsed("lines", '{"title": "", "search": "LR = 0.1  # é", "replace": "LR = 0.2  # é"}'),
        WholeFile(EDITED.removeprefix(MARK)),
        WholeFile(EDITED),
    ],
)
def test_every_edit_applies_and_keeps_the_mark(edit: Edit) -> None:
    assert edit.apply(SCRIPT) == EDITED
    assert Guard(known=SCRIPT).check(EDITED)


def test_a_line_that_a_model_may_choose_has_no_mark() -> None:
    assert single_line.schema(SCRIPT)["properties"]["search"]["enum"][0] == "LR = 0.1  # é"


def test_a_mark_anywhere_else_is_still_refused() -> None:
    with pytest.raises(EditError, match="does not parse"):
        Guard().check(f"LR = 0.1\n{MARK}print(LR)\n")
