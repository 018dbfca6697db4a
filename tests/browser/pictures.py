"""Writes the pictures of docs/report.md: a run of 24 trials in light and in dark, a comparison, and a phone.

    python -m tests.browser.pictures docs/img

The runs are made by hand: their journals, commits and logs are real, and nothing was trained.
"""

import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from agent.llm.model import ModelUsage
from agent.report.html.page import render
from agent.report.html.tables import RunOnPage
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status
from tests.browser.conftest import MADE_AT
from tests.made_runs import BASELINE, Again, Result, failed, made_run, scored, searched

N_TRIALS = 24
_LOG = (
    "\x1b[32mINFO\x1b[0m 256 pairs in each step\n"
    + "".join(f"\r{done:3}%|{'#' * (done // 5):20}|" for done in range(0, 101, 5))
    + "\n\x1b[33mWARNING\x1b[0m the last step is shorter\n---\nval_bpb: {loss}\n"
)


def picture_run(root: Path, name: str, mode: str = "centaur", seed: int = 0) -> RunOnPage:
    """Return a run of 24 trials: gains, one of them repeated, crashes, model calls and logs."""
    chance, best = random.Random(f"{mode} {seed}"), 3.0
    results: list[Result] = [BASELINE]
    for number in range(1, N_TRIALS):
        origin = Origin.LLM if mode == "centaur" and number % 3 == 0 else Origin.SEARCHER
        proposal = searched(round(chance.random(), 3), smoothing=round(chance.uniform(1, 90), 1), origin=origin)
        proposal = replace(proposal, fingerprint=str(proposal.params))
        if origin is Origin.LLM:
            proposal = replace(proposal, usage=ModelUsage("model", 1, 1_900, 240, 3.2, 0.011))
        results += _ended(proposal, number, best, chance)
        outcome = results[-1].outcome if isinstance(results[-1], Again) else results[-1][1]  # type: ignore[index, union-attr]
        best = min(best, outcome.val_loss or best)
    call = {
        "messages": [{"role": "user", "content": "Trials so far: ..."}], "reply": '{"MIX": 0.31, "SMOOTHING": 12.5}',
        "prompt_tokens": 1_900, "completion_tokens": 240, "seconds": 3.2,
    }  # fmt: skip
    stored = made_run(
        root, results, name=name, mode=mode, seed=seed,
        options={"trials": N_TRIALS, "keep": "two-tier", "final_runs": 0},
        logs=dict.fromkeys(range(N_TRIALS), _LOG), exchanges={number: [call] for number in range(3, N_TRIALS, 3)},
        all_commits=True,
    )  # fmt: skip
    return RunOnPage(stored, stored.task(0), {}, None)


def _ended(proposal: Proposal, number: int, best: float, chance: random.Random) -> list[Result]:
    """Return the outcome of a trial and, of the larger gains, its repeat."""
    if number in (7, 15):
        return [(proposal, failed(Status.CRASHED, "IndexError: list index out of range"))]
    if number in (5, 11, 17):
        loss = best - chance.uniform(0.03, 0.12)
        kept: Outcome = scored(loss, kept=True)
        return [(proposal, kept), Again(number, scored(loss + chance.gauss(0, 0.015)), KeepState.REPEATED)]
    return [(proposal, scored(best + chance.uniform(0.001, 0.3)))]


def photograph(browser: Browser, page: Path, picture: Path, width: int, height: int, *, scheme: str = "light") -> None:
    """Write a picture of the top of a page in a window of this size, in pixels; `scheme`: light or dark."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
    window = context.new_page()
    window.goto(page.as_uri())
    window.wait_for_timeout(2_000)  # charts have been drawn by then
    window.screenshot(path=picture)
    context.close()


def main(folder: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        root = Path(name)
        one, several = root / "one.html", root / "several.html"
        one.write_text(render([picture_run(root / "runs", "night")], MADE_AT))
        compared = [
            picture_run(root / "compared", f"first-{mode}-s{seed}", mode, seed)
            for mode in ("random", "cma-es", "centaur") for seed in range(3)
        ]  # fmt: skip
        several.write_text(render(compared, MADE_AT))
        # Chromium has no sandbox for root, as in a container.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        photograph(browser, one, folder / "report-light.png", 1400, 1500)
        photograph(browser, one, folder / "report-dark.png", 1400, 1500, scheme="dark")
        photograph(browser, one, folder / "report-phone.png", 390, 1200)
        photograph(browser, several, folder / "report-comparison.png", 1400, 1300)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
