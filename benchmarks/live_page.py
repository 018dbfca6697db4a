"""The live page of a long run: what the first view sends, how long it takes, and how soon a trial that ends is shown.

    python -m benchmarks.live_page                 # 1,000 trials, 5 events
    python -m benchmarks.live_page --trials 24

The run is that of benchmarks.report; nothing is trained. `agent serve` serves it, Chromium opens it. Sent bytes are as
on the wire, compressed. "Shown after" is from the moment at which the line of a trial's end is in the journal to the
moment at which the page has its row.
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
class Traffic:
    """The bytes that a page has received."""

    sent: int = 0

    def count(self, event: dict[str, Any]) -> None:
        self.sent += int(event["encodedDataLength"])


@contextmanager
def server(runs: Path) -> Iterator[str]:
    """Serve a folder of runs; yield the link."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "serve", "--runs", str(runs)], stdout=subprocess.PIPE, text=True,
        env=dict(os.environ),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def view(page: Page, address: str) -> tuple[float, int]:
    """Open a page; return the seconds until it is drawn, and the bytes that it has received."""
    devtools, traffic = page.context.new_cdp_session(page), Traffic()
    devtools.send("Network.enable")
    devtools.on("Network.loadingFinished", traffic.count)
    began = time.perf_counter()
    page.goto(address, wait_until="load")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    seconds = time.perf_counter() - began
    page.wait_for_timeout(300)  # for the last event of the browser about the traffic
    devtools.detach()
    return seconds, traffic.sent


def event(page: Page, runs: Path, n_before: int) -> tuple[float, int]:
    """Let one more trial end; return the seconds until the page has its row, and the bytes that it has received."""
    devtools, traffic = page.context.new_cdp_session(page), Traffic()
    devtools.send("Network.enable")
    devtools.on("Network.loadingFinished", traffic.count)
    append_results(RunsFolder(runs).run("made"), results(n_before + 1), n_before=n_before)
    ended = time.time()
    shown = page.evaluate(_SHOWN, f"0/{n_before}") / 1000
    page.wait_for_timeout(1000)
    devtools.detach()
    return shown - ended, traffic.sent


def measured(browser: Browser, runs: Path, n_trials: int, n_events: int) -> None:
    """Print the figures of a run with that many trials, and of as many events."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(600_000)
    page = context.new_page()
    with server(runs) as link:
        page.goto(link)
        address = f"{link.partition('/?')[0]}/run/made"
        for what in ("first view", "second view"):
            seconds, sent = view(page, address)
            print(f"{what}: {sent / 1e6:.2f} MB sent (target {TARGET_MEGABYTES:g}), {seconds:.2f} s, {n_trials} trials")
        page.wait_for_function("document.getElementById('connection').textContent.startsWith('up to date')")
        found = [event(page, runs, n_trials + n) for n in range(n_events)]
    context.close()
    after = [seconds for seconds, _ in found]
    print(
        f"a trial that ends is shown after {statistics.median(after):.2f} s (slowest of {n_events} {max(after):.2f} s, "
        f"target {TARGET_SECONDS:g} s), {statistics.median(sent for _, sent in found) / 1e3:.0f} kB sent"
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
