"""The states of the pages that browsers show. One task per page polls its state for all browsers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PageState:
    """The state of a page. Two states are equal if a browser needs nothing new."""

    version: str  # of the page's data; when it differs, the page is fetched again
    work: Any = None  # what the runs are doing, as plain JSON data, without times that pass


Look = Callable[[], PageState]
"""Returns the present state. It is called in a thread."""


class Feeds:
    """The states of all pages that browsers show, by address."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}

    async def states(self, address: str, look: Look, poll_seconds: float) -> AsyncIterator[PageState]:
        """Yield the present state of a page, then each state that differs from the one before.

        Nothing is queued: a browser that is slow gets the latest state when it has taken the one before, and one that
        was away gets the present state first. So none gets less or more than what there is.

        Args:
            address: of the page; browsers with the same one share the looks.
            poll_seconds: time between two looks.
        """
        feed = self._feeds.get(address)
        if feed is None:
            feed = self._feeds[address] = _Feed()
            feed.task = asyncio.create_task(feed.poll(look, poll_seconds))
        feed.n_readers += 1
        try:
            last = None
            while not feed.task.done():
                if feed.latest is not None and feed.latest != last:
                    last = feed.latest
                    yield last
                else:
                    await feed.changed.wait()
        finally:
            feed.n_readers -= 1
            if not feed.n_readers or feed.task.done():
                feed.task.cancel()
                if self._feeds.get(address) is feed:
                    del self._feeds[address]


@dataclass
class _Feed:
    task: "asyncio.Task[None]" = field(init=False)
    latest: PageState | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    n_readers: int = 0

    async def poll(self, look: Look, poll_seconds: float) -> None:
        try:
            while True:
                found = await asyncio.to_thread(look)
                if found != self.latest:
                    self.latest = found
                    self._wake()
                await asyncio.sleep(poll_seconds)
        finally:  # also after an error: then the streams end, and browsers connect again
            self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
