"""Candidates for the charts of the report: size, time to draw 1,000 trials in Chromium, and work under its policy.

    python -m benchmarks.chart_libraries

npm fetches each library at the version below. Each page holds one library as one inline script, draws the same 1,000
points and one step line, and allows scripts by hash only, as the report does. The time is from navigation to the first
frame after the chart is drawn; the CPU time is that of the page's main thread, which other work on the machine
affects less. `blocked` counts what the content security policy refused.
"""

import argparse
import base64
import gzip
import hashlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

DATA = """
const x = Array.from({length: 1000}, (_, i) => i), y = x.map((i) => 3 + Math.sin(i * 12.9898) - i / 2000);
let lowest = Infinity; const best = y.map((value) => lowest = Math.min(lowest, value));
const root = document.getElementById("chart");
root.style.width = "900px";
root.style.height = "400px";
"""
ECHARTS = """
echarts.init(root, null, {renderer: "RENDERER"}).setOption({animation: false, xAxis: {}, yAxis: {scale: true},
  dataZoom: [{type: "inside"}], series: [{type: "scatter", data: x.map((v, i) => [v, y[i]])},
  {type: "line", step: "end", showSymbol: false, data: x.map((v, i) => [v, best[i]])}]});
"""
PLOTLY = """
Plotly.newPlot(root, [{x, y, mode: "markers", type: "scatter"}, {x, y: best, mode: "lines", line: {shape: "hv"}}]);
"""
UPLOT = """
new uPlot({width: 900, height: 400, scales: {x: {time: false}}, series: [{}, {stroke: "grey", paths: () => null,
  points: {show: true}}, {stroke: "green", paths: uPlot.paths.stepped({align: 1})}]}, [x, y, best], root);
"""
PLOT = """
root.append(Plot.plot({width: 900, height: 400, marks: [Plot.dot(x, {x, y, tip: true}),
  Plot.line(x, {x, y: best, curve: "step-after"})]}));
"""


@dataclass(frozen=True)
class Candidate:
    """A library as a page would use it."""

    name: str
    files: tuple[tuple[str, str], ...]  # package with its version, and the path of its file inside
    draw: str


CANDIDATES = (
    Candidate(
        "ECharts, SVG", (("echarts@6.1.0", "dist/echarts.min.js"),), ECHARTS.replace("RENDERER", "svg")
    ),
    Candidate(
        "ECharts, canvas", (("echarts@6.1.0", "dist/echarts.min.js"),), ECHARTS.replace("RENDERER", "canvas")
    ),
    Candidate("Plotly basic", (("plotly.js-basic-dist-min@4.1.1", "plotly-basic.min.js"),), PLOTLY),
    Candidate("uPlot", (("uplot@1.6.32", "dist/uPlot.iife.min.js"),), UPLOT),
    Candidate(
        "Observable Plot",
        (("d3@7.9.0", "dist/d3.min.js"), ("@observablehq/plot@0.6.17", "dist/plot.umd.min.js")),
        PLOT,
    ),
)  # fmt: skip


def fetched(package: str, path: str, folder: Path) -> str:
    """Return the text of a file of an npm package."""
    place = folder / package.replace("/", "-")
    if not place.exists():
        place.mkdir()
        subprocess.run(["npm", "pack", "--silent", package], cwd=place, check=True, stdout=subprocess.DEVNULL)
        (archive,) = place.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
    return (place / "package" / path).read_text(encoding="utf-8")


def page(library: str, draw: str) -> str:
    """Return a page that draws with a library under the report's policy."""
    script = f"{DATA}{draw}\nrequestAnimationFrame(() => setTimeout(() => window.drawn = performance.now()));"
    sources = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (library, script)
    )
    policy = f"default-src 'none'; script-src {sources}"
    return (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<div id="chart"></div>'
        f"<script>{library}</script><script>{script}</script>"
    )


def measured(browser: Browser, path: Path) -> tuple[float, float, int, list[str]]:
    """Return milliseconds until the chart is drawn, those of CPU, what the policy refused, and other complaints."""
    context = browser.new_context(viewport={"width": 1000, "height": 700}, offline=True)
    window = context.new_page()
    devtools = context.new_cdp_session(window)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    messages: list[str] = []
    window.on("console", lambda message: messages.append(message.text))
    window.on("pageerror", lambda error: messages.append(str(error)))
    window.goto(path.as_uri(), wait_until="load")
    window.wait_for_function("window.drawn !== undefined", timeout=60_000)
    milliseconds = float(window.evaluate("window.drawn"))
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    cpu = 1000 * float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
    context.close()
    blocked = [text for text in messages if "Content Security Policy" in text]
    return milliseconds, cpu, len(blocked), [text for text in messages if text not in blocked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openings", type=int, default=7)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or shutil.which("npm") is None:
        sys.exit("this needs Chromium and npm: apt install chromium npm")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for candidate in CANDIDATES:
            library = "\n".join(fetched(package, path, Path(name)) for package, path in candidate.files)
            path = Path(name) / "page.html"
            path.write_text(page(library, candidate.draw), encoding="utf-8")
            measured(browser, path)  # not counted: the first window
            found = [measured(browser, path) for _ in range(arguments.openings)]
            packed = len(gzip.compress(library.encode(), 9))
            drawn = statistics.median(milliseconds for milliseconds, _, _, _ in found)
            cpu = statistics.median(milliseconds for _, milliseconds, _, _ in found)
            print(
                f"{candidate.name}: {len(library.encode()) / 1e3:.0f} kB, {packed / 1e3:.0f} kB gzip, drawn in "
                f"{drawn:.0f} ms, {cpu:.0f} ms of CPU, {found[0][2]} blocked {' '.join(found[0][3])[:200]}"
            )
        browser.close()


if __name__ == "__main__":
    main()
