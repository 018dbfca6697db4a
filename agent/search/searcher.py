"""The contract of numeric search: ask, then tell or release."""

from typing import Protocol

from agent.edits.edit import Params


class Searcher(Protocol):
    """Proposes points of a SearchSpace. What is asked is what runs is what is told, to the last digit.

    A searcher is a pure function of its seed and of the calls made so far: the same calls in the same order
    rebuild it after a kill. It never touches a global random generator.
    """

    def ask(self, number: int) -> Params:
        """Return the point for trial `number`: every name of the space, plain Python values.

        Asking again for a number that was neither told nor released gives the same point.
        """
        ...

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        """Report trial `number`, which ran with `params`: these may differ from the point asked for.

        `loss` is minimised; None means that the trial was executed and failed.
        """
        ...

    def discard(self, number: int) -> None:
        """Say that the point of trial `number` is of no use and nothing is known of it: another one is asked next."""
        ...

    def release(self, number: int) -> None:
        """Say that trial `number` never ran: the point it was given is the next to be asked."""
        ...
