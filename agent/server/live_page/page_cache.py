"""Renders each page once per version, in a thread of its own, for all browsers together."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agent.errors import AgentError

MOST_PAGES = 16
"""Largest number of pages that are kept; each can have some megabytes."""
MOST_WAITING = 100
"""Largest number of requests that wait for a page."""


class BusyError(AgentError):
    """Too many requests wait for a page."""


@dataclass(frozen=True)
class _Rendered:
    version: str
    html: str


class PageCache:
    """The last rendered version of each requested page.

    One thread renders, one page after the other: the charts' library must not be called from two threads, and the
    event loop stays free for the others.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._pages: OrderedDict[str, _Rendered] = OrderedDict()
        self._n_waiting = 0

    async def get(self, key: str, version_of: Callable[[], str], render: Callable[[str], str]) -> str:
        """Return a page as of now.

        Args:
            key: names the page.
            version_of: returns the version of its data; called in the thread, and always before `render`, so that a
                change in between makes another version.
            render: returns the page, which holds the version. What it raises is raised here, and nothing is kept.

        Raises:
            BusyError: MOST_WAITING requests wait already.
        """
        if self._n_waiting >= MOST_WAITING:
            raise BusyError(f"this server is busy: {MOST_WAITING} requests wait for it; reload the page in a minute")
        self._n_waiting += 1
        try:
            return await self._in_thread(key, version_of, render)
        finally:
            self._n_waiting -= 1

    async def _in_thread(self, key: str, version_of: Callable[[], str], render: Callable[[str], str]) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._current, key, version_of, render)

    def _current(self, key: str, version_of: Callable[[], str], render: Callable[[str], str]) -> str:
        version, known = version_of(), self._pages.get(key)
        if known is None or known.version != version:
            known = self._pages[key] = _Rendered(version, render(version))
        self._pages.move_to_end(key)
        if len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)
        return known.html
