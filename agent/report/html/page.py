"""The report: one self-contained HTML file, in which anything a trial wrote is text, never markup or script."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from agent.report import run_summary
from agent.report.html.chapters import chapters
from agent.report.html.charts.chart import document
from agent.report.html.modes import ComparisonOnPage, modes_compared
from agent.report.html.overview.headline import headline
from agent.report.html.overview.next_steps import cautions, next_commands
from agent.report.html.overview.tiles import tiles
from agent.report.html.tables import RunOnPage
from agent.report.html.trial_panels import MAX_CHARACTERS, details, fair_share, kept_edits, overall_difference, rows
from agent.report.slices import pool_size
from agent.text import plural

PAGE_MARK = b'<meta name="generator" content="autocentaur">'
"""Marks a page that this program wrote; see report.html."""

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_LIBRARY = Path(__file__).resolve().parent / "vendor" / "echarts" / "echarts.min.js"


@dataclass(frozen=True)
class LivePart:
    """What a page of `agent serve` has beyond a report. Its script fetches the details of a trial that is opened."""

    above: str  # markup above the headline
    below: str  # markup below the main numbers
    script: str
    style: str
    address: str  # path of the page on its server
    version: str  # of the data that the page shows
    runs: Sequence[str]  # names of the runs on the page, in its order


def render(
    runs: Sequence[RunOnPage],
    made_at: datetime,
    live: LivePart | None = None,
    *,
    reference: str | None = None,
    comparison: ComparisonOnPage | None = None,
) -> str:
    """Return the page about runs of one task, each with at least one finished trial.

    Args:
        live: what a live page adds; None: the page is a file that needs no server.
        reference: of several runs, the mode with which the others are compared; None: the first.
        comparison: whose runs these are; None: of none, or of several.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    embedded = runs if live is None else ()
    panels = [found for index, run in enumerate(embedded) for found in details(run.stored, run.task.source, index)]
    texts = [text for found in panels for text in found.texts]
    share = fair_share([text.n_characters for text in texts], MAX_CHARACTERS)
    library, packed_library = _library()
    scripts = [template_text(name) for name in ("report.js", "charts.js")]
    scripts = [live.script, *scripts] if live is not None else scripts
    style = template_text("report.css") + template_text("charts.css") + (live.style if live is not None else "")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    table = [row for index, run in enumerate(runs) for row in rows(run.stored, index)]
    compared, only = modes_compared(runs, reference, comparison), runs[0] if len(runs) == 1 else None
    best = only.stored.best if only is not None else None
    parts = chapters(runs, compared)
    return environment.get_template("report.html").render(
        policy=content_policy([library, *scripts], style, may_fetch=live is not None),
        library=Markup(packed_library),
        scripts=[Markup(each) for each in scripts],
        style=Markup(style),
        live=live,
        above=Markup(live.above) if live is not None else "",
        below=Markup(live.below) if live is not None else "",
        details=Markup(packed(json.dumps({found.mark: found.to_json(share) for found in panels}, ensure_ascii=False))),
        title=_title(runs, comparison),
        task=runs[0].task.name,
        headline=headline(runs, compared),
        difference=overall_difference(only.stored, only.task.source, best.number) if only and best else [],
        best=best,
        edits=kept_edits(only.stored, only.task.source, 0) if only is not None else [],
        commands=next_commands(only) if only is not None else [],
        cautions=cautions(runs),
        words=_words(only) if only is not None else [],
        tiles=tiles(runs, compared),
        rows=table,
        verdicts=list(dict.fromkeys(row.verdict for row in table)),
        origins=list(dict.fromkeys(row.origin for row in table)),
        run_ids=[run.stored.run_id for run in runs],
        chapters=[(chapter, chapter.charts) for chapter in parts],
        charts=Markup(inert_json(document(chart for part in parts for _, chart in part.charts))),
        metric=runs[0].stored.metric,
        self_reported=any(run.task.score.row.is_self_reported for run in runs),
        n_cut=sum(text.n_characters > share for text in texts),
        n_texts=len(texts),
        made_at=f"{made_at:%Y-%m-%d %H:%M} UTC",
    )


def _title(runs: Sequence[RunOnPage], comparison: ComparisonOnPage | None) -> str:
    if len(runs) == 1 and comparison is None:
        return runs[0].stored.heading
    several = f"{plural(len(runs), 'run')} of {runs[0].task.name}"
    return several if comparison is None else f"{comparison.name}: {several}"


def _words(run: RunOnPage) -> list[str]:
    """Return the summary of a run, as in `agent log`."""
    stored = run.stored
    return run_summary.summary(stored.history, stored.metric, stored.keeper, pool_size(stored), stored.added_lines)


def inert_json(data: Any) -> str:
    """Return JSON that is safe inside a <script> element: it can neither end the element nor begin a comment."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def template_text(name: str) -> str:
    """Return a file of the page's templates."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _library() -> tuple[str, str]:
    """Return the library that draws the charts, and the same packed: a server packs it once."""
    library = _LIBRARY.read_text(encoding="utf-8")
    return library, packed(library)


def packed(text: str) -> str:
    """Return a text as base64 of gzip: a script half as long, the JSON of many similar trials a fifth."""
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), mtime=0)).decode()


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
