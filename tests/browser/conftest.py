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
from tests.clients.install import NotInstalledError, npm_package
from tests.late import Late
from tests.made_runs import BASELINE, failed, made_run, scored, searched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

playwright = Late("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
BAR = "".join(f"\r{done:3}%|{'#' * (done // 10):10}|" for done in range(0, 101, 10))
LOG = f"\x1b[31m{HOSTILE}\x1b[0m\n{BAR}\n"
OPEN_ALL = "for (const button of Array.from(document.querySelectorAll('#table .open')).slice(-2)) button.click();"
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


def hostile_run(root: Path) -> RunOnPage:
    """A run with kept, reverted and failed trials, one of them hostile wherever a trial can write."""
    results = [BASELINE, *((searched(n / 40), scored(3.6 - n / 50, kept=n in (30, 36))) for n in range(1, 38)),
               (searched(0.97, title=HOSTILE, origin=Origin.LLM), scored(3.1)),
               (searched(0.98, title="broken"), failed(Status.CRASHED, HOSTILE))]  # fmt: skip
    call = {"messages": [{"role": "user", "content": HOSTILE}], "reply": HOSTILE}
    stored = made_run(root, results, logs={38: LOG}, exchanges={38: [call]})
    return RunOnPage(stored, stored.task(0), {}, None)


def comparison(root: Path) -> list[RunOnPage]:
    """Three modes under three seeds, of four trials each."""
    found = []
    for index, mode in enumerate(("random", "cma-es", "tpe")):
        for seed in range(3):
            results = [
                BASELINE,
                *((searched(n / 4), scored(2.9 - n / (9 + index) - seed / 50, kept=True)) for n in (1, 2, 3)),
            ]
            stored = made_run(root, results, name=f"first-{mode}-s{seed}", mode=mode, seed=seed, options={"trials": 4})
            found.append(RunOnPage(stored, stored.task(0), {}, None))
    return found


def long_names(root: Path) -> RunOnPage:
    """A run whose texts have no place to break at: name, metric, title, reason, log, and its commands."""
    long = "W" * 300
    results = [
        BASELINE,
        (searched(0.1, title=long), scored(2.5, kept=True)),
        (searched(0.2), failed(Status.CRASHED, long)),
    ]
    call = {"messages": [{"role": "user", "content": long}], "reply": long}
    options = {"trials": 9, "metric_name": "validation_loss_of_the_last_checkpoint_" + "m" * 60}
    stored = made_run(root, results, name="n" * 60, logs={1: f"{long}\n\x1b[31m{long}\n"}, exchanges={1: [call]},
                      options=options)  # fmt: skip
    return RunOnPage(stored, stored.task(0), {}, None)


@dataclass
class Pages:
    """Pages of made runs, and the browser that opens them."""

    browser: "Browser"
    folder: Path
    contexts: "list[BrowserContext]" = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Return the file of a page, written at its first use."""
        path, root = self.folder / f"{name}.html", self.folder / f"{name}-runs"
        if not path.exists():
            makers = {
                "report": hostile_run,
                "comparison": comparison,
                "long_names": long_names,
                "failed": failed_baseline,
            }
            found = makers[name](root)
            path.write_text(render(found if isinstance(found, list) else [found], MADE_AT))
        return path

    def opened(self, name: str, width: int, **options: object) -> "Page":
        """Return a page in a window of that width; narrow windows are those of a phone."""
        is_phone = width < 500
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            offline=True,
            is_mobile=is_phone,
            has_touch=is_phone,
            **options,  # type: ignore[arg-type]
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(self.path(name).as_uri())
        return page

    def opened_in_full(self, name: str, width: int, **options: object) -> "Page":
        """Return a page on which the last two trials, and all folded parts, are open."""
        page = self.opened(name, width, **options)
        page.evaluate(OPEN_ALL)
        playwright.expect(page.locator(".panel dl").last).to_be_visible()
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true;")
        return page


def failed_baseline(root: Path) -> RunOnPage:
    """A run of one trial, which failed."""
    stored = made_run(root, [(BASELINE[0], failed(Status.CRASHED, "no module named torch"))])
    return RunOnPage(stored, stored.task(0), {}, None)


@pytest.fixture(scope="session")
def folder_of_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def pages(browser: "Browser", folder_of_pages: Path) -> Iterator[Pages]:
    found = Pages(browser, folder_of_pages)
    yield found
    for context in found.contexts:
        context.close()


@pytest.fixture
def report(pages: Pages) -> Path:
    """The file of the page about the hostile run."""
    return pages.path("report")


@dataclass
class Reader:
    """One page in the browser, and all that it complained of."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)
    address: str = ""  # of the page, without a trial

    def numbers(self) -> list[str]:
        """Return the numbers of the trials that the table shows, from top to bottom."""
        return self.page.locator("#table tbody tr[data-trial-row]:visible .open").all_inner_texts()


@pytest.fixture
def reader(pages: Pages) -> Reader:
    page = pages.opened("report", 1200)
    reading = Reader(page, address=pages.path("report").as_uri())
    page.on("console", lambda message: reading.complaints.append(message.text))
    page.on("pageerror", lambda error: reading.complaints.append(str(error)))
    page.reload()
    return reading


AXE_VERSION = "4.14.1"


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that defines `axe` on a page.

    It comes from npm's registry at the first use, into the cache of tests/clients/install.py; where it cannot be had,
    the tests are skipped with the reason.
    """
    try:
        return (npm_package("axe-core", AXE_VERSION) / "axe.min.js").read_text()
    except NotInstalledError as reason:
        pytest.skip(f"axe-core: {reason}")


def serious_faults(page: "Page", axe: str) -> list[tuple[str, list[str]]]:
    """Return the serious and critical faults that axe-core finds on a page, each with its elements."""
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}  # it looked
    serious = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], [str(node["target"]) for node in fault["nodes"]]) for fault in serious]
