"""A real browser, Debian's Chromium, and pages of runs made by hand. Without a browser these tests are skipped."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.report.html.page import render
from agent.report.html.tables import RunOnPage
from agent.trials.trial import Origin, Status
from tests.late import Late
from tests.made_runs import BASELINE, failed, made_run, scored, searched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

playwright = Late("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
PATIENCE_MS = 300_000  # of a busy machine: no test asserts a time
MADE_AT = datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        # Root, as in CI's container, gets no sandbox from Chromium.
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        playwright.expect.set_options(timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with kept, reverted and failed trials, one of them hostile wherever a trial can write."""
    results = [BASELINE, *((searched(n / 40), scored(3.6 - n / 50, kept=n in (30, 36))) for n in range(1, 38)),
               (searched(0.97, title=HOSTILE, origin=Origin.LLM), scored(3.1)),
               (searched(0.98, title="broken"), failed(Status.CRASHED, HOSTILE))]  # fmt: skip
    call = {"messages": [{"role": "user", "content": HOSTILE}], "reply": HOSTILE}
    root = tmp_path_factory.mktemp("page")
    stored = made_run(root / "runs", results, logs={38: HOSTILE}, exchanges={38: [call]})
    path = root / "report.html"
    path.write_text(render([RunOnPage(stored, stored.task(0), {}, None)], MADE_AT))
    return path


@dataclass
class Reader:
    """One page in the browser, and all that it complained of."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)

    def numbers(self) -> list[str]:
        """Return the numbers of the trials that the table shows, from top to bottom."""
        return self.page.locator("#table tbody tr[data-trial-row]:visible .open").all_inner_texts()


@pytest.fixture
def reader(browser: "Browser", report: Path) -> Iterator[Reader]:
    context: BrowserContext = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)
    context.set_default_timeout(PATIENCE_MS)
    reading = Reader(context.new_page())
    reading.page.on("console", lambda said: reading.complaints.append(said.text))
    reading.page.on("pageerror", lambda error: reading.complaints.append(str(error)))
    reading.page.goto(report.as_uri())
    yield reading
    context.close()
