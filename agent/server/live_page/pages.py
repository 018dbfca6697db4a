"""The HTML of a live page: the table of runs, a run, a comparison; and the JSON of one trial."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.report.html.on_page import comparison_on_page, on_page, refuse_different_tasks
from agent.report.html.page import LivePart, content_policy, render, template_text
from agent.report.html.trial_panels import details
from agent.report.live.progress import expected_end_of, how_far
from agent.report.run_summary import is_measured
from agent.report.runs_table import HEADINGS, ListedRun, cells_of
from agent.run.steering.user_input import is_pause_requested
from agent.server.live_page.served_runs import ServedRuns, UnknownRunError
from agent.store.stored_run import StoredRun
from agent.text import inert, local_now, local_time, one_line, time_of_day
from agent.trials.trial import Trial

MOST_CHARACTERS = 200_000
"""Largest length of each text of a trial: an exchange, a log, a diff."""
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SHOWN = tuple(name for name in HEADINGS if name != "size")


def runs_page(served: ServedRuns, version: str) -> str:
    """Return the table of all runs, or why there is none."""
    now = local_now()
    listed = [served.listed(name) for name in served.names()]
    return _own_page(
        "runs.html",
        address="/",
        version=version,
        title="Runs" if listed else "No run yet",
        columns=[*_SHOWN[:5], "noise of one run", "spent", "ends about", "began"],
        rows=[_row(run, now) for run in listed],
        comparisons=served.comparisons(),
        has_chosen=len(served.chosen) > 1,
        folder=str(served.folder.root),
    )


def run_page(served: ServedRuns, name: str, version: str, token: str | None) -> str:
    """Return the page of one run.

    Args:
        token: that the page sends with each request that steers the run; None: it steers nothing.

    Raises:
        UnknownRunError: there is no such run.
        AgentError: it cannot be read, or cannot be drawn.
    """
    listed = served.find(name)
    stored = listed.stored
    assert stored is not None, "find raises for a run that cannot be read"
    address = f"/run/{name}"
    above = _above(listed, stored, token)
    if not stored.history.trials:
        return _own_page("waiting.html", address=address, version=version, title=stored.heading, above=above)
    return render([on_page(stored)], datetime.now(UTC), _live_part(above, address, version, [name]))


def comparison_page(served: ServedRuns, comparison: str | None, address: str, version: str) -> str:
    """Return the page about several runs of one task; those without a finished trial are named and left out.

    Args:
        comparison: the name of a comparison; None: the runs that were chosen.

    Raises:
        UnknownRunError: there is no such comparison.
        UsageError: they are of different tasks, or none has a finished trial.
        AgentError: one cannot be read.
    """
    found = [run.stored for run in map(served.find, served.compared(comparison)) if run.stored is not None]
    ready = [stored for stored in found if stored.history.trials]
    waiting = [stored.run_id for stored in found if not stored.history.trials]
    if not ready:
        raise UsageError("no run of this comparison has a finished trial yet; the page appears when one has")
    runs = [on_page(stored) for stored in ready]
    refuse_different_tasks(runs)
    above = _html("compared.html", names=[run.stored.run_id for run in runs], waiting=waiting)
    whole = comparison_on_page(served.folder, comparison) if comparison is not None else None
    live = _live_part(above, address, version, [run.stored.run_id for run in runs])
    return render(runs, datetime.now(UTC), live, comparison=whole)


def problem_page(address: str, version: str, problem: str) -> str:
    """Return a page that says why another cannot be shown; it is replaced once that has changed."""
    title = "This page cannot be shown"
    return _own_page("problem.html", address=address, version=version, title=title, problem=problem)


def trial_json(served: ServedRuns, name: str, number: int) -> dict[str, Any]:
    """Return what a trial's row opens: its facts, evidence and texts.

    Raises:
        UnknownRunError: there is no such run or trial, or the trial has not finished.
        AgentError: the run cannot be read.
    """
    stored = served.find(name).stored
    assert stored is not None, "find raises for a run that cannot be read"
    found = next(details(stored, stored.task(0).source, 0, {number}), None) if stored.history.trials else None
    if found is None:
        raise UnknownRunError(f"{name} has no finished trial {number}")
    return {"run": name, "trial": number, **found.to_json(MOST_CHARACTERS)}


def _row(run: ListedRun, now: datetime) -> dict[str, Any]:
    cells = dict(zip(HEADINGS, cells_of(run, now, with_size=False), strict=True))
    noise = ends = ""
    if run.stored is not None:
        keeper = run.stored.keeper
        noise = f"{keeper.sigma:.2g}{'' if is_measured(keeper) else ' (a guess)'}" if run.stored.history.trials else ""
        ends = _ends(run, run.stored, now)
    values = [cells[name] for name in _SHOWN[:5]]
    return {"run": run.run_id, "fault": run.fault, "state": run.state,
            "cells": [*values[1:], noise, cells["spent"], ends, cells["began"]]}  # fmt: skip


def _ends(run: ListedRun, stored: StoredRun, now: datetime) -> str:
    """Return when a run that a process works on is expected to end; empty for others."""
    end = expected_end_of(stored, now) if run.open_by is not None else None
    return "" if end is None else time_of_day(end, now)


def _above(run: ListedRun, stored: StoredRun, token: str | None) -> str:
    """Return what a live page shows above the tiles: what the run is doing now, and how to steer it."""
    now = local_now()
    in_flight = [_in_flight(stored, trial, now) for trial in stored.history.in_flight.values()]
    repeat = stored.history.repeating
    if repeat is not None:
        in_flight.append({"number": repeat.trial, "what": f"again with seed {repeat.seed}", "title": "",
                          "since": _since(repeat.started_at, now), "waits": False, "diff": ""})  # fmt: skip
    return _html(
        "above.html",
        run=run.run_id,
        state=run.state,
        how_far=how_far(stored),
        ends=_ends(run, stored, now),
        open_by=run.open_by,
        is_pausing=run.open_by is not None and is_pause_requested(stored.paths),
        in_flight=in_flight,
        token=token,
    )


def _in_flight(stored: StoredRun, trial: Trial, now: datetime) -> dict[str, Any]:
    waits = trial.waits_for_approval
    diff = stored.diff(trial.number, (stored, trial.parent)) if waits and trial.parent is not None else ""
    return {
        "number": trial.number,
        "what": "waits for approval" if waits else "in flight",
        "title": one_line(trial.proposal.title),
        "since": _since(trial.started_at, now),
        "waits": waits,
        "diff": inert(diff)[:MOST_CHARACTERS],
    }


def _since(at: str, now: datetime) -> str:
    moment = local_time(at)
    return "" if moment is None else f"since {time_of_day(moment, now)}"


def _live_part(above: str, address: str, version: str, names: Sequence[str]) -> LivePart:
    return LivePart(above, _text("live.js"), _text("live.css"), address, version, names)


def _own_page(template: str, *, address: str, version: str, title: str, **values: Any) -> str:
    """Return a page that is not a report: it has the report's style and the live script."""
    from markupsafe import Markup

    style, script = template_text("report.css") + _text("live.css"), _text("live.js")
    above = values.pop("above", None)
    shown: Mapping[str, Any] = values if above is None else {**values, "above": Markup(above)}
    return _html(
        template,
        policy=content_policy([script], style, may_fetch=True),
        style=Markup(style),
        script=Markup(script),
        address=address,
        version=version,
        title=title,
        **shown,
    )


def _html(template: str, **values: Any) -> str:
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


@cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
