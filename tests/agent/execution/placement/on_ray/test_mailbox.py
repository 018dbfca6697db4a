"""What tasks post reaches the driver at least once, and a job runs in one of its tasks only."""

from agent.execution.placement.on_ray.node_task import Mailbox
from sandbox.node.job_folder import Started
from sandbox.node.sent_job import Progress

NONE: frozenset[str] = frozenset()


def test_what_was_posted_is_returned_until_it_is_confirmed() -> None:
    box = Mailbox()
    first, second = Progress("job", Started("n1", "", 1.0)), Progress("job", None, {"log": (0, b"x")})
    assert box.arrive("id", "job.1", "job")
    box.report("id", first)
    box.report("id", Progress("job", None))  # nothing new
    expected = [("id", Progress("job", None)), ("id", first)]
    assert box.take(0, NONE, NONE) == (2, expected)
    box.report("id", second)
    assert box.take(0, NONE, NONE) == (3, [*expected, ("id", second)])  # the last answer was lost
    assert box.take(3, NONE, NONE) == (3, [])
    box.report("id", second)
    assert box.take(3, NONE, NONE) == (4, [("id", second)])


def test_a_task_arrives_or_is_replaced_and_never_both() -> None:
    box = Mailbox()
    assert box.arrive("id", "early.1", "early")
    _, posted = box.take(0, NONE, frozenset({"early.1", "late.1"}))
    assert [progress.name for _, progress in posted] == ["early"]  # so the driver does not replace it
    assert not box.arrive("id", "late.1", "late")
    assert box.arrive("id", "late.2", "late")


def test_a_job_is_asked_to_stop_with_its_next_report() -> None:
    box = Mailbox()
    box.take(0, frozenset({"job"}), NONE)
    assert box.report("id", Progress("job", None))
    assert not box.report("id", Progress("other", None))
