"""What a rehearsal of an edited script came to: a job of seconds, before the trial itself."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.trial import Status


@dataclass(frozen=True)
class Rehearsal:
    """The result of a smoke job."""

    seconds: float  # wall, charged to the training budget
    failed: Status | None = None  # None: nothing speaks against running it
    reason: str = ""  # one line
    log: str = ""  # the end of what the job printed, for the model to mend it by
    is_cut_short: bool = False  # by its limit: it says nothing


Rehearse = Callable[[str, int], Rehearsal]  # of a source, for the trial of that number
