"""The live page of a long run: what the first view sends, how long it takes, and how soon a trial that ends is shown.

    python -m benchmarks.live_page                 # 1,000 trials, 5 events
    python -m benchmarks.live_page --trials 24

The run is that of benchmarks.report; nothing is trained. `agent serve` serves it, Chromium opens it. Sent bytes are as
on the wire, compressed. "Shown after" is from the moment at which the line of a trial's end is in the journal to the
moment at which the page has its row. The CPU time of the server and of the browser's main thread is beside it, which
load affects less: with the 0.2 s between two looks at the journal, it is what one waits for on an idle machine.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from agent.store.paths import RunsFolder
from benchmarks.report import EXCHANGE, LOG, results
from tests.made_runs import append_results, made_run

TARGET_MEGABYTES, TARGET_SECONDS = 1.0, 1.0
_SHOWN = (
    "mark => new Promise(done => { const look = () => document.querySelector(`[data-trial-row='${mark}']`) "
    "? done(Date.now()) : requestAnimationFrame(look); look(); })"
)


@dataclass
class Meter:
    """What one page has received, and the CPU time of its server and of its own main thread."""

    page: Page
    server: int  # pid

    def __post_init__(self) -> None:
        self.sent = 0
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._devtools.send("Network.enable")
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._devtools.on("Network.loadingFinished", self._count)
        self._began = self._cpu_seconds()

    def close(self) -> tuple[float, float]:
        """Return the CPU seconds of the server and of the page since this meter was made."""
        self.page.wait_for_timeout(1000)  # for the browser's last events about the traffic
        server, page = (now - then for now, then in zip(self._cpu_seconds(), self._began, strict=True))
        self._devtools.detach()
        return server, page

    def _count(self, event: dict[str, Any]) -> None:
        self.sent += int(event["encodedDataLength"])

    def _cpu_seconds(self) -> tuple[float, float]:
        fields = Path(f"/proc/{self.server}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        server = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return server, float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


@contextmanager
def server(runs: Path) -> Iterator[tuple[str, int]]:
    """Serve a folder of runs; yield the link, and the pid of the server."""
    command = [sys.executable, "-m", "agent", "serve", "--runs", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def view(page: Page, pid: int, address: str) -> str:
    """Open a page; return how long it took until it was drawn, and what it has received, in words."""
    meter, began = Meter(page, pid), time.perf_counter()
    page.goto(address, wait_until="load")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    seconds = time.perf_counter() - began
    cpu, _ = meter.close()
    return f"{meter.sent / 1e6:.2f} MB sent (target {TARGET_MEGABYTES:g}), {seconds:.2f} s; server {cpu:.2f} s of CPU"


@dataclass(frozen=True)
class Shown:
    """How a trial that has ended came to the page."""

    after_seconds: float
    sent: int
    server_cpu: float
    page_cpu: float


def event(page: Page, pid: int, runs: Path, n_before: int) -> Shown:
    """Let one more trial end, and wait until the page has its row."""
    meter = Meter(page, pid)
    append_results(RunsFolder(runs).run("made"), results(n_before + 1), n_before=n_before)
    ended = time.time()
    after = page.evaluate(_SHOWN, f"0/{n_before}") / 1000 - ended
    server_cpu, page_cpu = meter.close()
    return Shown(after, meter.sent, server_cpu, page_cpu)


def measured(browser: Browser, runs: Path, n_trials: int, n_events: int) -> None:
    """Print the figures of a run with that many trials, and of as many events."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(600_000)
    page = context.new_page()
    with server(runs) as (link, pid):
        page.goto(link)
        address = f"{link.partition('/?')[0]}/run/made"
        for what in ("first view", "second view"):
            print(f"{what} of {n_trials} trials: {view(page, pid, address)}")
        page.locator("#connection", has_text="up to date").wait_for()
        found = [event(page, pid, runs, n_trials + n) for n in range(n_events)]
    context.close()
    after = [each.after_seconds for each in found]
    median = statistics.median
    print(
        f"a trial that ends is shown after {median(after):.2f} s (slowest of {n_events} {max(after):.2f} s, target "
        f"{TARGET_SECONDS:g} s), {median(each.sent for each in found) / 1e3:.0f} kB sent; server "
        f"{median(each.server_cpu for each in found):.2f} s and page {median(each.page_cpu for each in found):.2f} s "
        "of CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--events", type=int, default=5)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        runs, numbers = Path(name) / "runs", range(arguments.trials)
        logs = dict.fromkeys(numbers, LOG)
        exchanges: dict[int, Sequence[dict[str, object]]] = {n: [EXCHANGE] for n in numbers if n % 3 == 0}
        made_run(runs, results(arguments.trials), logs=logs, exchanges=exchanges)
        # Chromium has no sandbox for root, as in a container.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured(browser, runs, arguments.trials, arguments.events)
        browser.close()


if __name__ == "__main__":
    main()
