"""The HTML of a live page: the table of runs, a run, a comparison; and the JSON of one trial."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from time import time
from typing import Any

from agent.errors import AgentError, UsageError
from agent.report.html.on_page import comparison_on_page, on_page, refuse_different_tasks
from agent.report.html.page import LivePart, content_policy, render, template_text
from agent.report.html.trial_panels import details
from agent.report.live.progress import expected_end_of, how_far
from agent.report.live.work import work_summary
from agent.report.run_summary import is_measured
from agent.report.runs_table import HEADINGS, ListedRun, cells_of, resume_hints
from agent.run.steering.user_input import is_pause_requested
from agent.server.live_page.served_runs import ServedRuns, UnknownRunError
from agent.store.run_lock import held_together
from agent.store.stored_run import StoredRun
from agent.text import inert, local_now, local_time, one_line, time_of_day
from agent.trials.trial import Trial

MOST_CHARACTERS = 200_000
"""Largest length of each text of a trial: an exchange, a log, a diff."""
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_COLUMNS = ("run", "state", "mode", "trials", "result", "standing")  # of `agent runs`, the first of the table
_ON_A_PHONE = ("run", "state", "result", "standing")  # the columns that a phone has room for


def runs_page(served: ServedRuns, version: str) -> str:
    """Return the table of all runs, or why there is none."""
    now = local_now()
    listed, work = [served.listed(name) for name in reversed(served.names())], work_in_short(served)
    listed.sort(key=lambda run: run.open_by is None)  # those at work first, then the newest
    return _own_page(
        "runs.html",
        address="/",
        version=version,
        title="Runs" if listed else "No run yet",
        columns=[*_COLUMNS, "noise of one run", "spent", "ends about", "began"],
        narrow=_ON_A_PHONE,
        rows=[_row(run, work.get(run.run_id, ""), now) for run in listed],
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
    above = _above(served, listed, stored, can_decide=token is not None)
    below = _steering(served, listed, token) if token is not None else ""
    if not stored.history.trials:
        title = stored.heading
        return _own_page("waiting.html", address=address, version=version, title=title, above=above, below=below)
    return render([on_page(stored)], datetime.now(UTC), _live_part(above, address, version, [name], below))


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
    work = _timed(work_of(served, [stored.run_id for stored in found]))
    above = _html("compared.html", names=[run.stored.run_id for run in runs], waiting=waiting, work=work)
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


def _row(run: ListedRun, work: str, now: datetime) -> dict[str, Any]:
    cells = dict(zip(HEADINGS, cells_of(run, now, with_size=False), strict=True))
    noise = ends = ""
    if run.stored is not None:
        keeper = run.stored.keeper
        guess = "" if is_measured(keeper) else " (a guess)"
        noise = f"{keeper.sigma:.2g}{guess}" if run.stored.best is not None else ""
        ends = _ends(run, run.stored, now)
    values = [cells[name] for name in _COLUMNS[2:]]
    return {
        "run": run.run_id,
        "fault": run.fault,
        "state": run.state,
        "is_open": run.open_by is not None,
        "work": work,
        "cells": [*values, noise, cells["spent"], ends, cells["began"]],
    }


def _ends(run: ListedRun, stored: StoredRun, now: datetime) -> str:
    """Return when a run that a process works on is expected to end; empty for others."""
    end = expected_end_of(stored, now) if run.open_by is not None else None
    return "" if end is None else time_of_day(end, now)


def work_of(served: ServedRuns, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what some runs are doing, as the page shows it and its script gets it; texts are printable.

    `began` is a time in seconds since 1970, None if it is unknown; `line` the last line of the log, None without one.
    """
    return [
        {
            "run": name if len(names) > 1 else "",
            "place": " · ".join(filter(None, ("" if line.slot is None else f"slot {line.slot}", line.place))),
            "subject": line.subject,
            "phase": line.phase,
            "title": line.title,
            "began": None if line.began is None else line.began.timestamp(),
            "line": output,
        }
        for name in names
        for line, output in served.work(name)
    ]


def work_in_short(served: ServedRuns) -> dict[str, str]:
    """Return what each run at work is doing, in a few words, by the name of the run."""
    try:
        found = {name: work_summary([line for line, _ in served.work(name)]) for name in served.names()}
    except (AgentError, OSError):  # the page says what is wrong with the folder
        return {}
    return {name: words for name, words in found.items() if words}


def _above(served: ServedRuns, run: ListedRun, stored: StoredRun, *, can_decide: bool) -> str:
    """Return what a live page shows above the headline: what the run is doing now.

    `can_decide`: whether the page can approve and refuse trials.
    """
    now, is_open = local_now(), run.open_by is not None
    waiting = [trial for trial in stored.history.in_flight.values() if trial.waits_for_approval]
    return _html(
        "above.html",
        run=run.run_id,
        state=run.state,
        how_far=how_far(stored),
        ends=_ends(run, stored, now),
        open_by=run.open_by,
        is_pausing=is_open and is_pause_requested(stored.paths),
        hints=[] if stored.history.trials else resume_hints(stored, run.state, served.option),
        waiting=[_waiting(stored, trial, now) for trial in waiting],
        can_decide=can_decide,
        work=_timed(work_of(served, [run.run_id])),
    )


def _steering(served: ServedRuns, run: ListedRun, token: str) -> str:
    """Return the forms with which a page steers a run."""
    together = held_together(served.folder, run.run_id) if run.open_by is not None else []
    question = _stop_question(run.run_id, together)
    return _html("steering.html", run=run.run_id, open_by=run.open_by, question=question, token=token)


def _stop_question(run_id: str, together: Sequence[str]) -> str:
    """Return what the page asks before it stops a run; `together`: all runs that its process works on."""
    again = "What is in flight runs again after a resume."
    if len(together) < 2:
        return f"Stop {run_id} now? {again}"
    return f"One process works on {len(together)} runs. Stop ALL of them now: {', '.join(together)}? {again}"


def _timed(work: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what runs are doing with the seconds since each began, as a number and as a text."""
    now = time()
    found = []
    for item in work:
        seconds = None if item["began"] is None else max(0.0, now - item["began"])
        since = "" if seconds is None else str(timedelta(seconds=int(seconds)))
        found.append({**item, "seconds": seconds, "since": since})
    return found


def _waiting(stored: StoredRun, trial: Trial, now: datetime) -> dict[str, Any]:
    diff = stored.diff(trial.number, (stored, trial.parent)) if trial.parent is not None else ""
    moment = local_time(trial.started_at)
    return {
        "number": trial.number,
        "title": one_line(trial.proposal.title),
        "since": "" if moment is None else f"since {time_of_day(moment, now)}",
        "diff": inert(diff)[:MOST_CHARACTERS],
    }


def _live_part(above: str, address: str, version: str, names: Sequence[str], below: str = "") -> LivePart:
    return LivePart(above, below, _text("live.js"), _text("live.css"), address, version, names)


def _own_page(template: str, *, address: str, version: str, title: str, **values: Any) -> str:
    """Return a page that is not a report: it has the report's style and the live script."""
    from markupsafe import Markup

    style, script = template_text("report.css") + _text("live.css"), _text("live.js")
    for part in values.keys() & {"above", "below"}:
        values[part] = Markup(values[part])
    return _html(
        template,
        policy=content_policy([script], style, may_fetch=True),
        style=Markup(style),
        script=Markup(script),
        address=address,
        version=version,
        title=title,
        **values,
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
