"""Which trials of a run `agent log` lists."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent.budget import seconds
from agent.errors import UsageError
from agent.report.text import verdict
from agent.trial import Standing, Status, Trial

WORDS = tuple(word.value for word in (*Status, *Standing))


def chosen(*, kept: bool, status: str | None, since: str | None, now: datetime) -> Callable[[Trial], bool]:
    """Return a test of trials: all that is asked must hold.

    Args:
        kept: only trials that moved the incumbent.
        status: only those of a status or standing, such as `crashed` or `provisional`.
        since: only those started within a duration before `now`, such as `2h`, or since a date, such as 2026-11-22.

    Raises:
        UsageError: there is no such status, or `since` is neither a duration nor a date.
    """
    word = status.replace("-", "_").replace(" ", "_") if status else None
    if word is not None and word not in WORDS:
        raise UsageError(f"--status {status}: there is no such status; there are {', '.join(WORDS)}")
    first = _moment(since, now) if since else None

    def fits(trial: Trial) -> bool:
        return (
            (not kept or trial.kept)
            and (word is None or word in (trial.status, verdict(trial).replace(" ", "_")))
            and (first is None or datetime.fromisoformat(trial.started_at) >= first)
        )

    return fits


def _moment(text: str, now: datetime) -> datetime:
    """Return the moment that `2h`, `2026-11-22` or `2026-11-22T18:00` stands for, in UTC. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=seconds(text))
        except UsageError:
            raise UsageError(f"--since {text}: write a duration such as 2h, or a date such as 2026-11-22") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
