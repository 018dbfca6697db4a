"""The report: one self-contained HTML file, in which anything a trial wrote is text, never markup or script."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.analysis.comparison_statistics import added
from agent.report import run_summary, trial_table
from agent.report.html.chapters import chapters
from agent.report.html.tables import RunOnPage
from agent.report.html.trial_panels import MAX_CHARACTERS, details, fair_share, rows
from agent.report.slices import Published, pool_size, published
from agent.text import plural
from agent.trials.budget import Ledger, duration
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.trial import Trial

PAGE_MARK = b'<meta name="generator" content="autocentaur">'
"""Marks a page that this program wrote; see report.html."""

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class LivePart:
    """What a page of `agent serve` has beyond a report. Its script fetches the details of a trial that is opened."""

    html: str  # markup above the tiles
    script: str
    style: str
    address: str  # path of the page on its server
    version: str  # of the data that the page shows
    runs: Sequence[str]  # names of the runs on the page, in its order


def render(runs: Sequence[RunOnPage], made_at: datetime, live: LivePart | None = None) -> str:
    """Return the page about runs of one task, each with at least one finished trial.

    `live`: what a live page adds; None: the page is a file that needs no server.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    shown = runs if live is None else ()
    every = [found for index, run in enumerate(shown) for found in details(run.stored, run.task.source, index)]
    share = fair_share([len(text.content) for found in every for text in found.texts], MAX_CHARACTERS)
    script, style = (template_text(name) for name in ("report.js", "report.css"))
    style += live.style if live is not None else ""
    scripts = [live.script, script] if live is not None else [script]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    table = [row for index, run in enumerate(runs) for row in rows(run.stored, index)]
    return environment.get_template("report.html").render(
        policy=content_policy(scripts, style, may_fetch=live is not None),
        scripts=[Markup(each) for each in scripts],
        style=Markup(style),
        live=live,
        above=Markup(live.html) if live is not None else "",
        details=Markup(inert_json({found.mark: found.to_json(share) for found in every})),
        title=runs[0].stored.heading if len(runs) == 1 else f"{len(runs)} runs of {runs[0].task.name}",
        task=runs[0].task.name,
        words=_words(runs[0]) if len(runs) == 1 else [],
        tiles=_tiles(runs),
        rows=table,
        verdicts=list(dict.fromkeys(row.verdict for row in table)),
        origins=list(dict.fromkeys(row.origin for row in table)),
        run_ids=[run.stored.run_id for run in runs],
        chapters=[
            (chapter, [(tab, Markup(chart.svg())) for tab, chart in chapter.charts]) for chapter in chapters(runs)
        ],
        metric=runs[0].stored.metric,
        self_reported=any(run.task.score.row.is_self_reported for run in runs),
        made_at=f"{made_at:%Y-%m-%d %H:%M} UTC",
    )


def inert_json(data: Any) -> str:
    """Return JSON that is safe inside a <script> element: it can neither end the element nor begin a comment."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def template_text(name: str) -> str:
    """Return a file of the page's templates."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def content_policy(scripts: Sequence[str], style: str, *, may_fetch: bool) -> str:
    """Return the content security policy that allows these scripts and this style only.

    So a trial's text stays inert even if escaping failed. `may_fetch`: scripts may read from the page's own server.
    """
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts)
    fetching = "connect-src 'self'; " if may_fetch else ""
    return (
        f"default-src 'none'; script-src {allowed}; style-src '{_hash(style)}'; {fetching}"
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    """Return the source expression that allows exactly this script or style in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _words(run: RunOnPage) -> list[str]:
    """Return the summary of a run, as in `agent log`."""
    return run_summary.summary(run.stored.history, run.stored.metric, run.stored.keeper, pool_size(run.stored))


def _result(run: RunOnPage) -> float:
    """Return the search loss of a run's best trial: the mean of its fresh runs, if it has any."""
    best = run.stored.best
    assert best is not None, "the run has a trial with a loss"
    return run.stored.keeper.reading(best.number).mean


def _tiles(runs: Sequence[RunOnPage]) -> list[tuple[str, str, str]]:
    """Return the headline numbers: label, value and explanation of each."""
    metric = runs[0].stored.metric
    trials = [trial for run in runs for trial in run.trials]
    ledgers = [Ledger.of(run.results) for run in runs]
    tiles = []
    found = [run for run in runs if run.stored.best is not None]
    if found:
        best = min(found, key=_result)
        trial, keeper = best.stored.best, best.stored.keeper
        assert trial is not None
        where = f"trial {trial.number}" if trial.number else "the baseline"
        where += f" of {best.stored.heading}" if len(runs) > 1 else ""
        word = f"best {metric.name}, {trial_table.verdict(trial)}"
        told = published(best.stored.history, keeper)
        if told is not None:
            tiles += _published_tiles(told, metric, word, where)
        else:
            tiles += _search_tiles(trial, keeper, metric, word, where)
    n_kept, n_lost = sum(trial.kept for trial in trials), sum(trial.val_loss is None for trial in trials)
    tiles.append(("trials", str(len(trials)), f"{n_kept} kept, {n_lost} without a loss"))
    n_slots = max(run_summary.slots_used(run.stored.history) for run in runs)
    tiles.append((
        "training budget used", duration(sum(ledger.train_seconds for ledger in ledgers)),
        run_summary.clock_time(added(ledgers), n_slots),
    ))  # fmt: skip
    usages = [ledger.usage for ledger in ledgers if ledger.usage is not None]
    if usages:
        tokens = sum(used.prompt_tokens + used.completion_tokens for used in usages)
        known = [used.dollars for used in usages if used.dollars is not None]
        price = f"${sum(known):.2f}" if len(known) == len(usages) else "price unknown"
        tiles.append(("model tokens", f"{tokens:,}", f"{plural(sum(used.calls for used in usages), 'call')}, {price}"))
    return tiles


def _published_tiles(told: Published, metric: Metric, word: str, where: str) -> list[tuple[str, str, str]]:
    """Return the result on slices, and its difference from the baseline there."""
    result, baseline, lead = metric.display(told.result), metric.display(told.baseline), told.lead
    worth = f"{lead.mean / lead.error:.1f} standard errors (seeds and sampling)"
    return [
        (f"{word} on {told.unseen}", f"{result:.6f}", f"{where}, slice {told.slice}"),
        (f"change from the baseline, on {told.unseen}", f"{result - baseline:+.4f} ± {lead.error:.2g}", worth),
    ]


def _search_tiles(
    trial: Trial, keeper: KeepPolicy, metric: Metric, word: str, where: str
) -> list[tuple[str, str, str]]:
    """Return the search loss of a run's best trial, and its difference from the baseline's."""
    reading, first = keeper.reading(trial.number), keeper.reading(0)
    fresh = "1 run" if reading.selected else plural(reading.n_runs, "fresh run")
    tiles = [(word, f"{metric.display(reading.mean):.6f}", f"{where}, {fresh}")]
    if trial.number:
        change = metric.display(reading.mean) - metric.display(first.mean)
        guessed = "" if run_summary.is_measured(keeper) else " (a guess)"
        noise = f"{abs(change) / keeper.sigma:.1f} x the noise of one run{guessed}"
        tiles.append(("change from the baseline", f"{change:+.6f}", noise))
    return tiles
