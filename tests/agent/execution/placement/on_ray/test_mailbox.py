"""What tasks post reaches the driver at least once, and a job runs in one of its tasks only."""

from agent.execution.placement.on_ray.node_task import Mailbox

NONE: frozenset[str] = frozenset()


def test_what_was_posted_is_returned_until_it_is_confirmed() -> None:
    box = Mailbox()
    assert box.arrive("job", "id", "job.1")
    box.report("job", "id", b"first")
    box.report("job", "id", b"")  # nothing new
    expected = [("job", "id", b""), ("job", "id", b"first")]
    assert box.take(0, NONE, NONE) == (2, expected)
    box.report("job", "id", b"second")
    assert box.take(0, NONE, NONE) == (3, [*expected, ("job", "id", b"second")])  # the last answer was lost
    assert box.take(3, NONE, NONE) == (3, [])
    box.report("job", "id", b"third")
    assert box.take(3, NONE, NONE) == (4, [("job", "id", b"third")])


def test_a_task_arrives_or_is_replaced_and_never_both() -> None:
    box = Mailbox()
    assert box.arrive("early", "id", "early.1")
    _, posted = box.take(0, NONE, frozenset({"early.1", "late.1"}))
    assert [job for job, _, _ in posted] == ["early"]  # so the driver does not replace it
    assert not box.arrive("late", "id", "late.1")
    assert box.arrive("late", "id", "late.2")


def test_a_job_is_asked_to_stop_with_its_next_report() -> None:
    box = Mailbox()
    box.take(0, frozenset({"job"}), NONE)
    assert box.report("job", "id", b"")
    assert not box.report("other", "id", b"")
