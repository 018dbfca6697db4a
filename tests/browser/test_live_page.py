"""`agent serve` as its reader uses it: a page that changes while it is read, and loses nothing that is open."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.analysis.comparison import Comparison
from agent.execution.slots import Slot
from agent.report.live.recorder import WorkRecorder
from agent.run.steering.user_input import PAUSE, SAY
from agent.store.inbox.inbox import Inbox
from agent.store.paths import RunsFolder
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.trials.events import TrialStarted
from agent.trials.trial import Origin, Status
from tests.browser.conftest import HOSTILE, PATIENCE_MS, serious_faults
from tests.conftest import SilentObserver
from tests.late import Late
from tests.made_runs import BASELINE, BEGAN, Result, append_results, failed, made_run, scored, searched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = Late("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

CALL = {"messages": [{"role": "user", "content": HOSTILE}], "reply": HOSTILE}
RESULTS: list[Result] = [
    BASELINE,
    *((searched(n / 40), scored(3.6 - n / 50, kept=n in (30, 36))) for n in range(1, 38)),
    (searched(0.97, title=HOSTILE, origin=Origin.LLM), scored(3.1)),
    (searched(0.98, title="broken"), failed(Status.CRASHED, HOSTILE)),
]
NEXT: tuple[Result, ...] = ((searched(0.5, title="the new one"), scored(2.5, kept=True)),)


@dataclass
class Live:
    """A server of a folder of runs, and a page of it in the browser."""

    page: "Page"
    runs: RunsFolder
    link: str
    process: "subprocess.Popen[str]"
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.link)
        self.page.goto(self.link.partition("/?")[0] + path)
        self.until_up_to_date()

    def until_up_to_date(self) -> None:
        playwright.expect(self.page.locator("#connection")).to_contain_text("up to date")

    def end_next_trial(self, *results: Result, name: str = "made") -> None:
        append_results(self.runs.run(name), [*RESULTS, *(results or NEXT)], n_before=len(RESULTS))


SERVE = """
import sys
from agent.server.live_page import application
application.MOST_STREAMS = int(sys.argv.pop(1))
from agent.cli.main import main
main()
"""


class Cable:
    """What leads from the browser to a server. When it dies, nothing that goes through it says so."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._n_deaths = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self) -> None:
        """Carry nothing more on the connections that are open; new ones work."""
        self._n_deaths += 1

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            far = socket.create_connection(("127.0.0.1", self._port))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(*ends, self._n_deaths), daemon=True).start()

    def _carry(self, start: socket.socket, end: socket.socket, born: int) -> None:
        with suppress(OSError):
            while data := start.recv(2**16):
                if self._n_deaths != born:
                    threading.Event().wait()  # for ever, with the connection open
                end.sendall(data)
            end.shutdown(socket.SHUT_WR)


@pytest.fixture
def live(browser: "Browser", tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    runs = tmp_path / "runs"
    made_run(runs, RESULTS, logs={38: HOSTILE}, exchanges={38: [CALL]}, options={"trials": 60})
    most_streams, *options = getattr(request, "param", ("200",))
    argv = [sys.executable, "-c", SERVE, most_streams, "serve", "--runs", str(runs), *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(tmp_path)})
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", link)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    found = Live(context.new_page(), RunsFolder(runs), link, process)
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    context.close()
    process.kill()
    process.wait()


def test_a_trial_that_ends_appears_and_what_is_open_stays_open(live: Live) -> None:
    live.open("/run/made")
    page = live.page
    page.get_by_label("Origin").select_option("searcher")
    page.get_by_role("button", name="val_bpb").click()  # ascending: the best first
    page.locator('[data-trial-row="0/36"] .open').click()
    opened = page.locator("tr.details")
    playwright.expect(opened).to_contain_text("edit of trial 30")
    page.locator(".tabs .switch button").nth(2).click()
    page.evaluate("document.querySelector('#trials .scroll').scrollTop = 40")
    page.evaluate("window.stays = true")
    page.wait_for_function("globalThis.echarts && document.querySelector('#progress figure:not([hidden]) svg')")
    page.evaluate(
        """window.drawn = () => echarts
        .getInstanceByDom(document.querySelector("#progress figure:not([hidden]) [data-chart]"))?.getOption()
        .series.reduce((n, series) => n + (series.data?.length ?? 0), 0)"""
    )
    page.evaluate("window.before = window.drawn()")

    live.end_next_trial()

    first = page.locator("#table tbody tr[data-trial-row]:visible").first
    playwright.expect(first).to_contain_text("the new one")  # sorted in, and not at the end
    playwright.expect(page.locator("#count")).to_have_text("39 of 41 trials")
    playwright.expect(page.locator(".tile", has_text="trials").first).to_contain_text("41")
    playwright.expect(opened).to_contain_text("edit of trial 30")
    assert page.locator("tr.details").evaluate("node => node.previousElementSibling.dataset.trialRow") == "0/36"
    assert page.locator(".tabs .switch button").nth(2).get_attribute("aria-pressed") == "true"
    assert page.get_by_label("Origin").input_value() == "searcher"
    assert page.evaluate("document.querySelector('#trials .scroll').scrollTop") == 40
    page.wait_for_function("window.drawn() > window.before")  # the chart has it too
    assert page.evaluate("window.stays")  # it was not loaded anew
    page.locator("tr[data-trial-row]", has_text="the new one").locator(".open").click()
    playwright.expect(page.locator("tr.details").first).to_contain_text("edit of trial 36")
    assert live.complaints == []


def test_what_a_trial_wrote_never_runs(live: Live) -> None:
    live.open("/run/made#t0/38")
    page = live.page
    playwright.expect(page.locator("tr.details")).to_contain_text(HOSTILE)
    title = page.title()
    page.locator('[data-trial-row="0/39"] .open').click()
    live.end_next_trial((searched(0.99, title=HOSTILE + "again"), failed(Status.CRASHED, HOSTILE)))
    playwright.expect(page.locator('[data-trial-row="0/40"]')).to_contain_text("again")
    for summary in page.locator("tr.details summary").all():
        summary.click()
    assert page.locator("img").count() == 0
    assert page.title() == title
    assert live.complaints == []


def test_the_table_of_runs_shows_a_run_that_begins(live: Live) -> None:
    live.open("/")
    row = live.page.get_by_role("row", name=re.compile("made"))
    playwright.expect(row).to_contain_text("interrupted")
    made_run(live.runs.root, [BASELINE], name="second")
    playwright.expect(live.page.get_by_role("link", name="second")).to_be_visible()
    live.page.get_by_role("link", name="second").click()
    playwright.expect(live.page.get_by_role("heading", level=1)).to_have_text("second")
    live.until_up_to_date()
    assert live.complaints == []


def test_a_run_that_vanishes_or_is_damaged_is_reported_on_the_page_which_recovers(live: Live) -> None:
    live.open("/run/made")
    journal = live.runs.run("made").journal
    whole = journal.read_text()
    journal.write_text("{broken\n" + whole)
    connection = live.page.locator("#connection")
    playwright.expect(connection).to_contain_text("This page shows what was there before")
    assert live.page.locator("#table tbody tr[data-trial-row]").count() == len(RESULTS)
    journal.write_text(whole + '{"event": "trial_sta')  # a torn last line is none
    live.until_up_to_date()
    moved = live.runs.root / ".moved"
    live.runs.run("made").root.rename(moved)
    playwright.expect(connection).to_contain_text("there is no run made")
    moved.rename(live.runs.run("made").root)
    live.until_up_to_date()


def test_a_server_that_ends_is_reported_on_the_page(live: Live) -> None:
    live.open("/run/made")
    live.process.terminate()
    assert live.process.wait() == 130
    playwright.expect(live.page.locator("#connection")).to_contain_text("does not answer")


def test_a_page_that_slept_for_an_hour_shows_each_trial_once(live: Live) -> None:
    cable = Cable(int(live.link.split(":")[2].split("/")[0]))
    live.link = re.sub(r":\d+/", f":{cable.port}/", live.link)
    live.page.clock.install()
    live.open("/run/made")
    cable.die()
    later: list[Result] = [(searched(n / 50, title=f"later {n}"), scored(2.6 - n / 50, kept=True)) for n in range(5)]
    live.end_next_trial(*later)
    live.page.clock.fast_forward("01:00:00")
    rows = live.page.locator("#table tbody tr[data-trial-row]")
    playwright.expect(rows).to_have_count(len(RESULTS) + len(later))
    numbers = rows.evaluate_all("rows => rows.map((row) => row.dataset.trialRow)")
    assert numbers == [f"0/{n}" for n in range(len(RESULTS) + len(later))]
    live.until_up_to_date()
    assert live.complaints == []


@pytest.mark.parametrize("live", [("0",)], indirect=True)
def test_a_busy_server_says_on_the_page_what_to_do(live: Live) -> None:
    live.page.goto(live.link)
    playwright.expect(live.page.locator("#connection")).to_contain_text(
        "pages of this server are open already. Close some"
    )


def test_what_each_worker_does_is_followed_and_hostile_lines_are_text(live: Live) -> None:
    paths = live.runs.run("made")
    started: list[Result] = [
        TrialStarted(len(RESULTS) + n, 36, searched(n / 9, title=HOSTILE), BEGAN.isoformat(), n_seen=len(RESULTS))
        for n in range(2)
    ]
    live.end_next_trial(*started)
    one, two = StoredRun.find(live.runs, "made").history.in_flight.values()
    log = paths.trial(two.number).log
    log.parent.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(locked(paths))
        recorder = WorkRecorder(SilentObserver(), paths, HOSTILE)
        recorder.started(one, Slot(0, ("0",)))
        live.open("/run/made")
        work = live.page.locator("#work")
        playwright.expect(work.locator("li").first).to_contain_text(f"slot 0 · gpu 0 trial {one.number} training")
        live.page.evaluate("window.version = document.body.dataset.version")
        recorder.started(two, Slot(1, ("1",)))
        log.write_text(f"step 1\r{HOSTILE}")
        playwright.expect(work.locator("li").nth(1).locator(".line")).to_have_text(HOSTILE)
        recorder.scoring(one)
        playwright.expect(work.locator("li").first.locator(".phase")).to_have_text("scoring")
        recorder.proposing(99)
        playwright.expect(work.locator("li")).to_have_count(3)
        playwright.expect(work).to_contain_text(f"{HOSTILE} proposes")
        assert live.page.evaluate("window.version === document.body.dataset.version")  # only texts were sent
        assert re.fullmatch(r"\d+:\d\d:\d\d", work.locator(".since").first.inner_text())
        live.open("/")
        playwright.expect(live.page.get_by_role("row", name=re.compile("made"))).to_contain_text("running")
        short = live.page.locator("[data-work='made']")
        playwright.expect(short).to_contain_text(f"trial {one.number}: scoring; trial {two.number}: training")
        recorder.scoring(two)
        playwright.expect(short).to_contain_text(f"trial {two.number}: scoring")
        assert live.page.locator("img").count() == 0
    playwright.expect(live.page.get_by_role("row", name=re.compile("made"))).to_contain_text("interrupted")
    assert live.complaints == []


@pytest.mark.parametrize("live", [("200", "--control")], indirect=True)
def test_the_page_steers_with_control(live: Live) -> None:
    live.open("/run/made")
    page = live.page
    page.get_by_label("Message to the proposer").fill("narrow")
    page.get_by_role("button", name="Say").click()
    playwright.expect(page.locator("#answer")).to_contain_text("mode random asks no model")
    assert [message.fields["text"] for message in Inbox(live.runs.run("made").inbox).messages(SAY)] == ["narrow"]
    page.get_by_label("Message to the proposer").fill("half a sent")
    Inbox(live.runs.run("made").inbox).put(PAUSE)
    playwright.expect(page.locator("#now")).to_contain_text("paused")
    assert page.get_by_label("Message to the proposer").input_value() == "half a sent"
    assert live.complaints == []


@pytest.mark.parametrize("live", [("200", "--control")], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_is_found(live: Live, axe: str, scheme: str) -> None:
    made = StoredRun.find(live.runs, "made")
    seeds = [made_run(live.runs.root, RESULTS[:9], name=f"night-random-s{n}", options={"trials": 9}) for n in (0, 1)]
    Comparison("night", ("random",), 2, seeds[0].config).save(live.runs)
    (live.runs.root / "unreadable").mkdir()
    (live.runs.root / "unreadable" / "run.json").write_text("{")
    live.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    with locked(made.paths):
        recorder = WorkRecorder(SilentObserver(), made.paths, "codex")
        recorder.proposing(len(RESULTS))
        for path in ("/", "/run/made", "/compare/night", "/run/unreadable"):
            live.page.goto(live.link.partition("/?")[0] + path) if path != "/" else live.page.goto(live.link)
            playwright.expect(live.page.locator("#connection")).not_to_have_text("connecting")
            assert serious_faults(live.page, axe) == [], path


def test_nothing_is_wider_than_a_phone(live: Live) -> None:
    live.page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/run/made"):
        live.open(path)
        wide = live.page.evaluate(
            "Array.from(document.querySelectorAll('#live, #now, #runs'), node => node.scrollWidth - node.clientWidth)"
        )
        assert max(wide) <= 0
