"""The report: one self-contained HTML file, in which anything a trial wrote is text, never markup or script."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.analysis.comparison_statistics import added
from agent.report import run_summary, trial_table
from agent.report.html.chapters import chapters
from agent.report.html.charts.chart import document
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
_LIBRARY = Path(__file__).resolve().parent / "vendor" / "echarts" / "echarts.min.js"


def render(runs: Sequence[RunOnPage], made_at: datetime) -> str:
    """Return the page about runs of one task, each with at least one finished trial."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    every = [found for index, run in enumerate(runs) for found in details(run.stored, run.task.source, index)]
    share = fair_share([len(text.content) for found in every for text in found.texts], MAX_CHARACTERS)
    script, drawing = (_read(_TEMPLATES / name) for name in ("report.js", "charts.js"))
    library = _read(_LIBRARY)
    style = _read(_TEMPLATES / "report.css") + _read(_TEMPLATES / "charts.css")
    parts = chapters(runs)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    table = [row for index, run in enumerate(runs) for row in rows(run.stored, index)]
    return environment.get_template("report.html").render(
        # The policy allows this script and style only, and no fetching: a trial's text stays inert even if escaping
        # failed.
        policy=f"default-src 'none'; script-src {' '.join(map(_hash, (library, script, drawing)))}; "
        f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'",
        library=Markup(_packed(library)),
        script=Markup(script),
        drawing=Markup(drawing),
        style=Markup(style),
        details=Markup(inert_json({found.mark: found.to_json(share) for found in every})),
        title=runs[0].stored.heading if len(runs) == 1 else f"{len(runs)} runs of {runs[0].task.name}",
        task=runs[0].task.name,
        words=_words(runs[0]) if len(runs) == 1 else [],
        tiles=_tiles(runs),
        rows=table,
        verdicts=list(dict.fromkeys(row.verdict for row in table)),
        origins=list(dict.fromkeys(row.origin for row in table)),
        run_ids=[run.stored.run_id for run in runs],
        chapters=[(chapter, chapter.charts) for chapter in parts],
        charts=Markup(inert_json(document(chart for part in parts for _, chart in part.charts))),
        metric=runs[0].stored.metric,
        self_reported=any(run.task.score.row.is_self_reported for run in runs),
        made_at=f"{made_at:%Y-%m-%d %H:%M} UTC",
    )


def inert_json(data: Any) -> str:
    """Return JSON that is safe inside a <script> element: it can neither end the element nor begin a comment."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _packed(script: str) -> str:
    """Return a script as base64 of gzip, half as long; charts.js unpacks it, and the policy checks its hash."""
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()


def _hash(content: str) -> str:
    """Return the source expression that allows exactly this script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


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
