"""Charts over the time of a run: what its slots did, and what its models cost."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from agent.report.html.charts.chart import TONES, Chart, ChartAxis, Lanes, Line, Panel, Points, Tone
from agent.text import plural
from agent.trials.budget import Ledger
from agent.trials.history import History, stands
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

_KINDS: tuple[tuple[str, Tone], ...] = (
    ("scoring", "ink"),
    ("kept", "green"),
    ("reverted", "grey"),
    ("no loss", "vermillion"),
    ("repeat", "blue"),
    ("lost attempt", "orange"),
    ("void attempt", "purple"),
    ("in flight", "sky"),
)  # fmt: skip; later kinds are drawn above earlier ones
_SCORING, _KEPT, _REVERTED, _NO_LOSS, _REPEAT, _LOST, _VOID, _IN_FLIGHT = range(len(_KINDS))
_HOUR = 3600.0
_VISIBLE = 1 / 5000  # of the run's time: shorter scoring is not drawn
_DECIMALS = 4  # of hours or minutes


def slots_over_time(history: History, *, name: str, run: int) -> Chart:
    """Return what each slot of a run did when: trials, repeats, scoring, attempts that are lost or void.

    Args:
        history: of the run.
        run: index of the run on the page.
    """
    began = _seconds(history.trials[0].started_at)
    spans = list[tuple[int, float, float, int, int]]()
    devices = dict[int, str]()
    for result in history.finished:
        outcome = result.outcome
        assert outcome is not None, "finished trials and repeats have an outcome"
        if (isinstance(result, Trial) and result.is_refused) or result.finished_at is None:
            continue
        slot = outcome.place.slot if outcome.place else 0
        devices[slot] = (outcome.place.device if outcome.place else "") or devices.get(slot, "")
        number = result.trial if isinstance(result, Repeat) else result.number
        end = _seconds(result.finished_at) - began
        scored = end - (outcome.score.seconds if outcome.score else 0.0)
        spans += [
            (slot, end - outcome.slot_seconds, scored, _kind(result), number),
            (slot, scored, end, _SCORING, number),
        ]
        for kind, attempts in ((_LOST, result.lost), (_VOID, result.voids)):
            for attempt in attempts:
                until = _seconds(attempt.at) - began
                spans.append((slot, until - attempt.seconds, until, kind, number))
    last = max((span[2] for span in spans), default=0.0)
    spans = [span for span in spans if span[3] != _SCORING or span[2] - span[1] > _VISIBLE * last]
    lanes = {slot: i for i, slot in enumerate(sorted(devices))}
    names = [f"slot {slot}" + (f": {devices[slot]}" if devices[slot] else "") for slot in lanes]
    spans = [(lanes[slot], begin, end, kind, number) for slot, begin, end, kind, number in spans]
    running = [trial for trial in history.in_flight.values() if not trial.waits_for_approval]
    if running:
        names.append("in flight")
        for trial in running:
            begin = _seconds(trial.started_at) - began
            spans.append((len(names) - 1, begin, max(last, begin), _IN_FLIGHT, trial.number))
    unit, seconds = ("hours", _HOUR) if last > 2 * _HOUR else ("minutes", 60.0)
    short = [
        (lane, round(begin / seconds, _DECIMALS), round((end - begin) / seconds, _DECIMALS), kind, number)
        for lane, begin, end, kind, number in spans
    ]
    content = Lanes(names, _KINDS, short, ChartAxis(f"{unit} since the first trial", low=0.0), run)
    n_lost = sum(kind == _LOST for _, _, _, kind, _ in spans)
    description = (
        f"what {plural(len(lanes), 'slot')} did in {last / seconds:.1f} {unit}; {plural(n_lost, 'lost attempt')}"
    )
    return Chart(name, "Slots over time", description, content)


def spending(runs: Sequence[tuple[str, History]], *, name: str) -> Chart | None:
    """Return tokens and dollars of models and agents over the trials, one line per run; None if there were none.

    Dollars have a panel if all prices are known. With one run, diamonds mark the trials that were kept.
    """
    tokens, dollars, kept = list[Line](), list[Line](), list[list[Points]]()
    for index, (label, history) in enumerate(runs):
        ledgers = list(accumulate(history.results, Ledger.plus, initial=Ledger.of([])))[1:]
        places = [(i, r) for i, r in enumerate(history.results) if isinstance(r, Trial)]
        if not ledgers or ledgers[-1].usage is None:
            continue
        x = [float(number) for number, _ in enumerate(places)]
        tone = TONES[index % len(TONES)]
        counted = [float(ledgers[i].model_tokens) for i, _ in places]
        spent = [ledgers[i].usage.dollars if ledgers[i].usage else 0.0 for i, _ in places]  # type: ignore[union-attr]
        tokens.append(Line(x, counted, tone, label, is_stepped=True))
        known = [value for value in spent if value is not None]
        if len(known) == len(spent):
            dollars.append(Line(x, known, tone, label, is_stepped=True))
        good = [n for n, (_, trial) in enumerate(places) if trial.number and stands(history.trial(trial.number))]
        numbers = [places[n][1].number for n in good]
        for y in (counted, known):
            if len(runs) == 1 and good and len(y) == len(x):
                style = Points(
                    [x[n] for n in good], [y[n] for n in good], numbers, "kept", shape="diamond", tone="green", size=9
                )
                kept.append([style])
    if not tokens:
        return None
    axis = ChartAxis("trials finished", is_whole=True)
    marks = [*kept, [], []]
    panels = [Panel(axis, ChartAxis("tokens", low=0.0), tokens, points=marks[0], title="tokens")]
    if dollars:
        panels.append(Panel(axis, ChartAxis("dollars", low=0.0), dollars, points=marks[1], title="dollars"))
    description = ", ".join(f"{line.name}: {line.y[-1] or 0:,.0f} tokens" for line in tokens)
    return Chart(name, "Tokens and dollars", f"tokens and dollars over the trials; {description}", panels)


def _kind(result: Trial | Repeat) -> int:
    if isinstance(result, Repeat):
        return _REPEAT
    return _NO_LOSS if result.val_loss is None else _KEPT if stands(result) else _REVERTED


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
