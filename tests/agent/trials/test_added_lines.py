"""Lines that a rejected trial had are counted when a later edit adds them again."""

from dataclasses import replace

import pytest

from agent.edits.assignments import Assignments
from agent.edits.edit import Edit, WholeFile
from agent.edits.search_replace import Block, SearchReplace
from agent.trials.added_lines import AddedLines, ReintroducedShare, added_lines, normalised
from agent.trials.trial import KeepState, Origin, Status, Trial
from tests.agent.modes.run_so_far import baseline, trial

SCRIPT = "DEPTH = 4\nRATE = 0.1\n\n\ndef step(x):\n    return x\n"


def edit(old: str, new: str) -> Edit:
    return SearchReplace((Block(old, new),))


WIDER = edit("DEPTH = 4\n", "DEPTH = 8  # more\n")
FASTER = edit("RATE = 0.1\n", "RATE = 0.3\nWARM = 0.5\n")


def tried(number: int, change: Edit, *, kept: bool = False, parent: int = 0, status: Status = Status.OK) -> Trial:
    loss = None if status is not Status.OK else 2.0 if kept else 2.6
    return replace(trial(number, loss=loss, kept=kept, edit=change, status=status), parent=parent)


def found(*trials: Trial) -> dict[int, AddedLines]:
    return added_lines([baseline(), *trials], SCRIPT)


def test_a_line_of_a_rejected_trial_counts_when_it_comes_again() -> None:
    both = WholeFile(SCRIPT.replace("DEPTH = 4", "DEPTH  =  8").replace("0.1", "0.2"))
    assert found(tried(1, WIDER), tried(2, both)) == {
        1: AddedLines(1, (), ()),
        2: AddedLines(2, ("DEPTH = 8",), (1,)),
    }


@pytest.mark.parametrize("status", [Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT])
def test_failed_trials_count_as_rejected(status: Status) -> None:
    assert found(tried(1, WIDER, status=status), tried(2, WIDER))[2].had_by == (1,)


def test_kept_lines_are_no_rejected_ones_but_rolled_back_ones_are() -> None:
    kept = tried(1, WIDER, kept=True)
    assert found(kept, tried(2, WIDER))[2].again == ()
    rolled_back = replace(kept, repeat_state=KeepState.ROLLED_BACK)
    assert found(rolled_back, tried(2, WIDER))[2].again == ("DEPTH = 8",)


def test_an_edit_is_compared_with_the_script_that_it_edits() -> None:
    narrower = edit("DEPTH = 8  # more\n", "DEPTH = 2\n")
    result = found(tried(1, WIDER, kept=True), tried(2, narrower, parent=1), tried(3, FASTER, parent=1))
    assert [result[n].n_lines for n in (1, 2, 3)] == [1, 1, 2]


def test_a_moved_line_is_not_new() -> None:
    moved = WholeFile("RATE = 0.1\nDEPTH = 4\n\n\ndef step(x):\n    return x\n")
    assert found(tried(1, moved))[1].n_lines == 0


def test_only_what_had_ended_when_a_trial_was_proposed_counts() -> None:
    beside = replace(tried(2, WIDER), n_seen=1)
    later = replace(tried(3, WIDER), n_seen=3)
    result = added_lines([baseline(), tried(1, WIDER), beside, later], SCRIPT)
    assert [result[n].had_by for n in (1, 2, 3)] == [(), (), (1, 2)]
    pending = replace(tried(4, WIDER), outcome=None, n_seen=4)
    assert added_lines([baseline(), tried(1, WIDER), beside, later], SCRIPT, [pending])[4].had_by == (1, 2, 3)


def test_values_of_a_space_and_mended_changes_are_not_counted() -> None:
    values = Assignments({"DEPTH": 8})
    mended = replace(tried(3, WIDER), proposal=replace(tried(3, WIDER).proposal, origin=Origin.MEND))
    result = found(tried(1, values), tried(2, WIDER), mended, tried(4, WIDER))
    assert result.keys() == {2, 4}
    assert result[4].had_by == (2, 3)


def test_what_never_ran_or_does_not_apply_is_left_out() -> None:
    refused = tried(1, WIDER, status=Status.DUPLICATE)
    broken = tried(2, edit("NOT THERE\n", "x = 1\n"))
    assert found(refused, broken, tried(3, WIDER)) == {3: AddedLines(1, (), ())}


@pytest.mark.parametrize(
    "line", ["", ")", "else:", "    return x", "# depth of 8 layers", "import math", "try:", "y.z()"]
)
def test_trivial_lines_are_not_counted(line: str) -> None:
    assert normalised(line) is None


def test_spaces_and_comments_make_no_difference() -> None:
    assert normalised("\tDEPTH  = 8 # layers") == normalised("DEPTH = 8") == "DEPTH = 8"


def test_the_share_of_a_run() -> None:
    share = ReintroducedShare.of(found(tried(1, WIDER), tried(2, WIDER), tried(3, FASTER)))
    assert (share.n_lines, share.n_again, share.share) == (4, 1, 0.25)
    assert ReintroducedShare.of({}).share == 0.0
