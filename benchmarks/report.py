"""Size of the report on a long run by its parts, and the time to load, sort and filter it in Chromium.

    python -m benchmarks.report                 # 1,000 trials, 5 openings
    python -m benchmarks.report --trials 5000

The run is synthetic, nothing is trained: trials as in a search of tests/tasks/bigram, with a log of 60 lines each.
Every third has an exchange with a language model, every tenth failed. `agent report` writes the page. The output has
wall time and the CPU time of the browser's main thread, which load affects less.
"""

import argparse
import gzip
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from agent.trials.trial import Origin, Outcome, Proposal, Status
from tests.made_runs import BASELINE, failed, made_run, scored, searched

TARGET_MEGABYTES, TARGET_SECONDS = 2.5, 2.0
LOG = "".join(f"step {n:05d} progress {n / 60:.3f} loss {4 - n / 60:.4f} tokens/s {21_000 + n}\n" for n in range(60))
EXCHANGE: dict[str, object] = {
    "messages": [{"role": "user", "content": "What was tried, what it came to. " * 120}],
    "reply": "{}" * 200,
}


def results(n_trials: int) -> list[tuple[Proposal, Outcome]]:
    """Return a search whose loss falls slowly, with failures."""
    chance = random.Random(0)
    found, best = [BASELINE], 3.0
    for number in range(1, n_trials):
        origin = Origin.LLM if number % 3 == 0 else Origin.SEARCHER
        proposal = searched(chance.random(), smoothing=chance.uniform(0.1, 90.0), origin=origin)
        if number % 10 == 0:
            found.append((proposal, failed(Status.OUT_OF_MEMORY, "the job took more than 0.5 GiB")))
            continue
        loss = best + chance.uniform(-0.002, 0.5)
        found.append((proposal, scored(loss, kept=loss < best)))
        best = min(best, loss)
    return found


def page(folder: Path, n_trials: int) -> Path:
    """Make the run, let `agent report` write its page, print the time taken, and return the page's path."""
    numbers = range(n_trials)
    logs = dict.fromkeys(numbers, LOG)
    exchanges: dict[int, Sequence[dict[str, object]]] = {n: [EXCHANGE] for n in numbers if n % 3 == 0}
    made_run(folder / "runs", results(n_trials), name="long", logs=logs, exchanges=exchanges)
    path = folder / "long.html"
    command = [sys.executable, "-m", "agent", "report", "long", "--runs", str(folder / "runs"), "--out", str(path)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"agent report: {time.perf_counter() - started:.1f} s")
    return path


@dataclass(frozen=True)
class Opening:
    """Waiting times of one reader, in seconds of wall time, and CPU seconds of the page's main thread."""

    load: float  # until the page is loaded and drawn
    load_cpu: float
    sort: float  # from the first click on a heading until the table is redrawn
    sort_cpu: float
    filter: float  # from a word in Find until the table is redrawn
    filter_cpu: float


def parts(page: str) -> dict[str, int]:
    """Return the bytes of the parts of a page."""
    blocks = {
        "texts of trials": r'<script type="application/json" id="details">(.*?)</script>',
        "data of charts": r'<script type="application/json" id="charts">(.*?)</script>',
        "chart library": r'<script type="application/gzip" id="library">(.*?)</script>',
        "table of trials": r'(<table id="table">.*?</table>)',
    }
    found = {name: re.search(pattern, page, re.DOTALL) for name, pattern in blocks.items()}
    sizes = {name: len(match[1].encode()) for name, match in found.items() if match is not None}
    return {**sizes, "rest": len(page.encode()) - sum(sizes.values())}


def opening(browser: Browser, path: Path) -> Opening:
    """Open the page in a new window, sort it once and filter it once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    window = context.new_page()
    devtools = context.new_cdp_session(window)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu_seconds() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    drawn = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
    cpu, clock = [cpu_seconds()], [time.perf_counter()]
    window.goto(path.as_uri(), wait_until="load")
    # By selector: the driver takes longer to find a button by its role than the page takes to sort.
    find = "const find = document.getElementById('find'); find.value = 'mix 0.5';"
    acts = (
        "",
        "document.querySelector('#table th[data-key=value] button').click();",
        f"{find} find.dispatchEvent(new InputEvent('input', {{bubbles: true}}));",
    )
    for act in acts:
        window.evaluate(f"() => {{ {act} return {drawn} }}")
        clock.append(time.perf_counter())
        cpu.append(cpu_seconds())
    context.close()
    waits = [(clock[i + 1] - clock[i], cpu[i + 1] - cpu[i]) for i in range(len(acts))]
    return Opening(*(seconds for wait in waits for seconds in wait))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--openings", type=int, default=5)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        path = page(Path(name), arguments.trials)
        # Chromium has no sandbox for root, as in a container.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opening(browser, path)  # not counted: it includes opening the browser's first window
        found = [opening(browser, path) for _ in range(arguments.openings)]
        browser.close()
        written = path.read_bytes()
    sizes = (
        f"{len(written) / 1e6:.2f} MB (target {TARGET_MEGABYTES:g}), {len(gzip.compress(written)) / 1e6:.2f} MB gzip"
    )
    print(f"page: {sizes}, {arguments.trials} trials")
    print("of these: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in parts(written.decode()).items()))
    load = in_seconds([each.load for each in found], [each.load_cpu for each in found])
    print(f"load: {load}, target {TARGET_SECONDS:g} s")
    print(f"sort: {in_seconds([each.sort for each in found], [each.sort_cpu for each in found])}")
    print(f"filter: {in_seconds([each.filter for each in found], [each.filter_cpu for each in found])}")


def in_seconds(clock: Sequence[float], cpu: Sequence[float]) -> str:
    median, slowest = statistics.median(clock), max(clock)
    return f"{median:.2f} s wall time, slowest {slowest:.2f} s; {statistics.median(cpu):.2f} s of CPU"


if __name__ == "__main__":
    main()
