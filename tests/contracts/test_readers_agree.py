"""All readers of a run say the same of its trials: what they were judged against, what stands, what the best is.

Histories are generated, with roll-backs, failures, repeats and slices, and written as real runs. What each reader says
is compared with `Model`, which walks the events back from each question and shares no code with `History`.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.cli.main import app
from agent.report.export import export, spreadsheet
from agent.report.html.page import render
from agent.report.html.tables import RunOnPage, origins_table, repeats_table, runs_table
from agent.report.html.trial_panels import rows
from agent.report.slices import slices_table
from agent.report.trackers.tracker import facts_of
from agent.report.trial_details import facts
from agent.store.journal import read_events
from agent.store.results_tsv import write_results
from agent.store.stored_run import StoredRun, best_trial
from agent.task.task import Task
from agent.trials.best_so_far import as_charged, as_trials, best_so_far
from agent.trials.events import (
    AttemptLost,
    Event,
    RepeatFinished,
    RepeatStarted,
    RepeatTrained,
    SliceOpened,
    SliceScored,
    TrialFinished,
    TrialStarted,
)
from agent.trials.machine_speed import LostAttempt
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status
from tests.made_runs import (
    BASELINE,
    BIGRAM,
    Again,
    Result,
    failed,
    made_run,
    opened,
    opened_for_result,
    scored,
    searched,
    slice_events,
    write_journal,
)

MAX_STEPS = 16
MAX_WIDTH = 4
N_SLICES = 60
HELD = (KeepState.CONFIRMED, KeepState.REPEATED)
AT = "2026-11-22T10:00:00+00:00"


@dataclass(frozen=True, repr=False)
class Model:
    """What should be said of a run, found by walking its events back from each question: slow and plain."""

    events: Sequence[Event]
    maximise: bool = False
    pooled: bool = False  # slices of unseen text decide

    def __repr__(self) -> str:
        kind = f"{'maximise' if self.maximise else 'minimise'}{', on slices' * self.pooled}"
        return f"{kind}: {'; '.join(map(_brief, self.events))}"

    @cached_property
    def ended(self) -> dict[int, int]:
        """Where each finished trial's end lies among the events."""
        return {event.number: at for at, event in enumerate(self.events) if isinstance(event, TrialFinished)}

    @cached_property
    def outcomes(self) -> dict[int, Outcome]:
        """The outcomes by trial, in the order in which the trials finished."""
        return {event.number: event.outcome for event in self.events if isinstance(event, TrialFinished)}

    @cached_property
    def begun(self) -> dict[int, TrialStarted]:
        return {event.number: event for event in self.events if isinstance(event, TrialStarted)}

    def champion(self, at: int) -> int | None:
        """Return the champion before event `at`: what a fresh run held last, or else the baseline if it has a loss."""
        for event in reversed(self.events[:at]):
            if _standing(event) in HELD:
                assert isinstance(event, RepeatFinished)
                return event.trial
        return 0 if self.ended.get(0, at) < at and self.outcomes[0].kept else None

    def incumbent(self, at: int) -> int | None:
        """Return the incumbent before event `at`: the last kept trial, unless it was rolled back after that."""
        for place in reversed(range(at)):
            event = self.events[place]
            if isinstance(event, TrialFinished) and event.outcome.kept:
                return event.number
            if _standing(event) is KeepState.ROLLED_BACK and self.incumbent(place) == event.trial:
                return self.champion(place)
        return None

    def ancestors(self, number: int) -> set[int]:
        """Return a trial and all that its script was built on."""
        parent = self.begun[number].parent
        return {number} if parent is None else {number} | self.ancestors(parent)

    def verdict(self, number: int) -> str:
        """Return the word for a trial as it stands by now."""
        if number not in self.outcomes:
            return "interrupted"  # no process works on these runs
        outcome = self.outcomes[number]
        if outcome.val_loss is None:
            return outcome.status.value
        if number == 0:
            return "baseline"
        word = "provisional" if outcome.kept else "reverted"
        for event in self.events[self.ended[number] :]:
            if _standing(event) in HELD:
                assert isinstance(event, RepeatFinished)
                held = "confirmed" if self.pooled else "repeated"
                word = held if number in self.ancestors(event.trial) else word
            elif _standing(event) is KeepState.ROLLED_BACK and word == "provisional":
                assert isinstance(event, RepeatFinished)
                is_reset = self.incumbent(self.events.index(event)) == event.trial
                word = "rolled back" if is_reset or number in self.ancestors(event.trial) else word
        return word

    @property
    def numbers(self) -> list[int]:
        return sorted(self.outcomes)

    @property
    def by_finish(self) -> list[int]:
        return list(self.outcomes)

    def n_lost(self, number: int) -> int:
        return sum(isinstance(event, AttemptLost) and event.trial == number for event in self.events)

    @property
    def verdicts(self) -> list[str]:
        return [self.verdict(number) for number in self.numbers]

    def stands(self, number: int) -> bool:
        return self.outcomes[number].kept and self.verdict(number) != "rolled back"

    def loss(self, number: int) -> float | None:
        return self.outcomes[number].val_loss

    def shown(self, loss: float | None) -> float | None:
        return loss if loss is None or not self.maximise else -loss

    def change(self, number: int) -> float | None:
        """Return the metric of a trial less that of the incumbent at its end."""
        before = self.incumbent(self.ended[number])
        own, other = self.shown(self.loss(number)), None if before is None else self.shown(self.loss(before))
        return None if own is None or other is None else own - other

    def gain(self, number: int) -> float:
        change = self.change(number)
        if change is None or not self.stands(number):
            return 0.0
        return change if self.maximise else -change

    @property
    def best(self) -> list[float]:
        """The lowest loss that stands, up to the end of each trial, in the order of these ends."""
        ends = [(self.ended[number], self.loss(number)) for number in self.by_finish if self.stands(number)]
        return [min(loss for end, loss in ends if end <= at and loss is not None) for at in self.ended.values()]

    @property
    def result(self) -> int | None:
        """The trial that stands for the run."""
        champion = self.champion(len(self.events))
        return champion or self.incumbent(len(self.events))

    @cached_property
    def opened(self) -> dict[int, SliceOpened]:
        """The slices that were opened, by number, in that order."""
        return {event.number: event for event in self.events if isinstance(event, SliceOpened)}

    @property
    def published(self) -> tuple[int, bool] | None:
        """The slice that the result is published by, and whether its runs were held out; None: nothing is confirmed."""
        champion = self.champion(len(self.events))
        for held_out, model in (True, "result-100"), (False, "challenger"):
            for event in reversed(self.events):
                if not champion or not isinstance(event, SliceScored) or event.score.burned_by:
                    continue
                shown = self.opened[event.number].entrants
                if model in shown and shown[model].trial == champion:
                    return event.number, held_out
        return None

    @property
    def gains(self) -> dict[str, float]:
        """What each origin lowered the loss by, the baseline's left out."""
        found: dict[str, float] = {}
        for number in self.numbers[1:]:
            origin = self.begun[number].proposal.origin.value
            found[origin] = found.get(origin, 0.0) + self.gain(number)
        return found


def _brief(event: Event) -> str:
    match event:
        case TrialStarted():
            text = f"{event.number} of {event.parent}"
        case TrialFinished():
            text = f"{event.outcome.val_loss or event.outcome.status}{' kept' * event.outcome.kept}"
        case RepeatStarted():
            text = f"{event.trial} again ({event.purpose})"
        case RepeatFinished():
            text = f"{event.outcome.val_loss} {_standing(event) or ''}"
        case SliceOpened():
            text = f"slice {event.number} for {event.purpose}"
        case SliceScored():
            text = f"slice {event.number} {'burned' if event.score.burned_by else 'scored'}"
        case _:
            text = str(event)
    return text


def _standing(event: Event) -> KeepState | None:
    return event.verdict.standing if isinstance(event, RepeatFinished) and event.verdict is not None else None


@st.composite
def models(draw: st.DrawFn) -> Model:
    """The events of a run of the two-tier rule, with one trial in flight at a time or several.

    Several may end in any order, and edit a parent that is not the incumbent any more; attempts may be lost.
    """
    pooled = draw(st.booleans())
    held = "confirmed" if pooled else "repeated"
    events: list[Event] = []
    runs: dict[int, list[float]] = {}  # the losses of each trial's script
    ahead: int | None = None  # the incumbent while the trial before was running
    width = draw(st.sampled_from((1, 1, 2, MAX_WIDTH)))  # of trials in flight
    flying: list[int] = []
    trials = ("keep", "keep", "discard", "fail")
    verdicts = (held, held, "rolled_back", "rolled_back", "provisional")
    distances = st.integers(1, 20).map(lambda hundredths: hundredths / 100)

    def start(proposal: Proposal, parent: int | None) -> None:
        now = Model(events)
        n_done = len(now.outcomes)
        n_seen = draw(st.integers(n_done - 1, n_done)) if width > 1 and n_done > 1 else None
        flying.append(len(now.begun))
        events.append(TrialStarted(flying[-1], parent, proposal, AT, n_seen))

    def lose(number: int) -> None:
        n_before = sum(isinstance(event, AttemptLost) and event.trial == number for event in events)
        events.append(AttemptLost(number, None, LostAttempt(n_before + 1, "the launcher died", 2.0, AT)))

    def finish(number: int, outcome: Outcome) -> None:
        flying.remove(number)
        events.append(TrialFinished(number, outcome, AT))
        if outcome.val_loss is not None:
            runs[number] = [outcome.val_loss]

    def trial(step: str) -> None:
        """Start trials until enough are in flight, and let one of them end."""
        nonlocal ahead
        while len(flying) < width:
            incumbent = Model(events).incumbent(len(events))
            proposal = searched(0.5, origin=draw(st.sampled_from((Origin.SEARCHER, Origin.LLM))))
            start(proposal, ahead if ahead is not None and draw(st.booleans()) else incumbent)
            ahead = incumbent
        number = draw(st.sampled_from(flying))
        if width > 1 and draw(st.booleans()):
            lose(number)
        incumbent = Model(events).incumbent(len(events))
        assert incumbent is not None
        bar, distance = sum(runs[incumbent]) / len(runs[incumbent]), draw(distances)
        if step == "fail":
            outcome = failed(draw(st.sampled_from((Status.CRASHED, Status.DUPLICATE, Status.PRUNED))))
        else:
            kept = step == "keep"
            outcome = scored(round(bar + (-distance if kept else distance), 2), kept=kept)
        finish(number, outcome)

    def again(of: int, purpose: Purpose, outcome: Outcome, standing: KeepState | None = None) -> None:
        seed = 1 + sum(isinstance(event, RepeatStarted) and event.trial == of for event in events)
        seed += 100 if purpose is Purpose.FINAL else 0
        champion = Model(events).champion(len(events))
        events.append(RepeatStarted(of, seed, purpose, AT))
        for _ in range(draw(st.integers(0, 2)) if width > 1 else 0):
            trial(draw(st.sampled_from(trials)))
        lead, reason = (None, "no loss") if outcome.val_loss is None else (1.0, "")
        verdict = None if standing is None else RepeatVerdict(standing, lead, reason)
        if pooled and verdict is not None and outcome.val_loss is not None:
            events.append(RepeatTrained(of, seed, outcome, AT))
            for burned_by in ["champion"] * draw(st.integers(0, 1)) + [""]:
                use = opened(len(Model(events).opened), of, 0.3, seed=seed, champion=champion, burned_by=burned_by)
                events.extend(slice_events([use], AT))
            verdict = replace(verdict, n_errors=3.0, bar=2.0)
        events.append(RepeatFinished(of, seed, outcome, verdict, AT))
        runs[of] += [] if outcome.val_loss is None else [outcome.val_loss]

    def publish(of: int) -> None:
        use = opened_for_result(len(Model(events).opened), of, 0.25, (100, 101))
        events.extend(slice_events([use], AT))

    start(BASELINE[0], None)
    finish(0, scored(3.0, kept=True))
    for _ in range(draw(st.integers(8, MAX_STEPS))):
        now = Model(events)
        incumbent, champion = now.incumbent(len(events)), now.champion(len(events))
        assert incumbent is not None
        assert champion is not None
        bar = sum(runs[incumbent]) / len(runs[incumbent])  # as the keep rule has it: the mean of its runs
        in_question = incumbent != champion
        may = [*trials, *(verdicts if in_question else ("keep", "repeat"))] + ["publish"] * (pooled and champion != 0)
        step = draw(st.sampled_from(may))
        distance = draw(distances)
        if step in ("keep", "discard", "fail"):
            trial(step)
        elif step == "publish":
            publish(champion)
        elif step == "repeat":
            purpose = draw(st.sampled_from((Purpose.BASELINE, Purpose.CHAMPION, Purpose.FINAL)))
            again(0 if purpose is Purpose.BASELINE else champion, purpose, scored(round(bar + distance, 2)))
        else:
            crashed = step == "rolled_back" and draw(st.booleans())
            outcome = failed(Status.CRASHED) if crashed else scored(round(bar + distance, 2))
            again(incumbent, Purpose.CONFIRM, outcome, KeepState(step))
    left = draw(st.sampled_from(("nothing", "trial", "repeat", "slice")))
    last = Model(events)
    if left == "trial":
        start(searched(0.5), last.incumbent(len(events)))
    elif left == "repeat":
        events.append(RepeatStarted(last.champion(len(events)) or 0, 99, Purpose.CHAMPION, AT))
    elif left == "slice" and pooled and (incumbent := last.incumbent(len(events))):
        use = opened(len(last.opened), incumbent, 0.3, seed=99, champion=0)
        trained = RepeatTrained(incumbent, 99, scored(2.0), AT)
        shown = slice_events([replace(use, score=None)], AT)
        events.extend((RepeatStarted(incumbent, 99, Purpose.CONFIRM, AT), trained, *shown))
    return Model(events, maximise=draw(st.booleans()), pooled=pooled)


def output_of(stored: StoredRun, *command: str) -> str:
    """Return what a command prints about a run."""
    done = CliRunner().invoke(app, [*command, "--runs", str(stored.runs.root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def log_of(text: str) -> list[tuple[int, str, str]]:
    """Return number, verdict and change of the trials that `agent log` lists, as printed; "" for no change."""
    listed, found = text.split("\n\n", maxsplit=1)[0].splitlines()[2:], []
    for line in listed:
        match = re.match(r" *(\d+)  [\d: ]{5}  [0-9a-f ]{7}  (\S.{13}) (?: *(-?\d+\.\d{6}))? *([+-]\d+\.\d{5})?", line)
        assert match is not None, line
        if "  repeat    " not in line:
            found.append((int(match[1]), match[2].strip(), match[4] or ""))
    return found


def as_change(change: float | None) -> str:
    return "" if change is None else f"{change:+.5f}"


def numbers_of(text: str, what: str) -> list[int]:
    return [int(number) for number in re.findall(what, text)]


def check_log_and_best(stored: StoredRun, model: Model) -> None:
    expected = [(n, model.verdict(n), as_change(model.change(n))) for n in model.by_finish]
    in_flight = [(n, "interrupted", "") for n in sorted(model.begun.keys() - model.outcomes.keys())]
    log = output_of(stored, "log", stored.run_id)
    assert log_of(log) == expected + in_flight
    kept = output_of(stored, "log", stored.run_id, "--kept")
    assert [number for number, *_ in log_of(kept)] == [n for n in model.by_finish if model.outcomes[n].kept]
    incumbent, champion = model.incumbent(len(model.events)), model.champion(len(model.events))
    held, other = ("confirmed", "repeated") if model.pooled else ("repeated", "confirmed")
    assert numbers_of(log, rf"(?m)^{held}: trial (\d+)") == ([champion] if champion else [])
    assert f"{other}: trial" not in log
    assert ("gains are repeated, not confirmed: the task has no pool" in log) != model.pooled
    by = numbers_of(log, r"(?m)^confirmed: trial .* better \(slice (\d+), ")
    assert by == ([] if model.published is None else [model.published[0]])
    left = [N_SLICES, len(model.opened)] if model.pooled else []
    assert [int(n) for line in re.findall(r"pool: (\d+) slices, (\d+) opened", log) for n in line] == left
    assert numbers_of(log, r"(?m)^provisional: trial (\d+)") == ([incumbent] if incumbent != champion else [])
    assert numbers_of(output_of(stored, "best", stored.run_id), r"(?m)^the files of trial (\d+)") == [model.result]
    assert best_trial(stored).number == model.result


def check_json(stored: StoredRun, model: Model) -> None:
    incumbent, champion = model.incumbent(len(model.events)), model.champion(len(model.events))
    document = json.loads(output_of(stored, "log", stored.run_id, "--json"))
    assert (document["incumbent"], document["champion"]) == (incumbent, champion)
    best = json.loads(output_of(stored, "best", stored.run_id, "--json"))
    assert (best["number"], best["incumbent"], best["champion"]) == (model.result, incumbent, champion)
    last = json.loads(output_of(stored, "show", f"{stored.run_id}/{model.numbers[-1]}", "--json"))
    found = [trial for trial in document["trials"] if trial["status"] is not None]
    for trial in [*found, best, last]:
        number = trial["number"]
        assert trial["kept"] == model.outcomes[number].kept
        assert trial["parent"] == model.begun[number].parent
        assert trial["val_loss"] == model.loss(number)
        assert _word(trial["standing"], number, trial["status"]) == model.verdict(number)
    assert [trial["number"] for trial in found] == model.by_finish
    assert [len(trial["lost"]) for trial in document["trials"]] == [
        model.n_lost(t["number"]) for t in document["trials"]
    ]
    spent = document["spent"]
    assert (spent["trials"], spent["lost_seconds"]) == (len(model.numbers), 2.0 * sum(map(model.n_lost, model.numbers)))
    decided = [repeat["verdict"]["standing"] if repeat["verdict"] else None for repeat in document["repeats"]]
    repeats = [event for event in model.events if isinstance(event, RepeatStarted)]
    finished = [_standing(event) for event in model.events if isinstance(event, RepeatFinished)]
    assert decided == finished + [None] * (len(repeats) - len(finished))
    found = [(use["slice"], use["purpose"], list(use["models"])) for use in document["slices"]]
    assert found == [(use.number, use.purpose.value, list(use.entrants)) for use in model.opened.values()]
    for published in document["published"], best["published"]:
        assert (None if published is None else (published["slice"], published["held_out"])) == model.published


def _word(standing: str | None, number: int, status: str) -> str:
    if standing is None:
        return status
    return "baseline" if number == 0 else standing.replace("_", " ")


def check_show(stored: StoredRun, model: Model) -> None:
    for number in model.numbers:
        rows = facts(stored, stored.trial(number))
        assert dict(rows)["verdict"].partition(":")[0] == model.verdict(number)
        edited = model.begun[number].parent
        assert dict(rows)["parent"] == ("none: the baseline" if edited is None else f"trial {edited}")
        assert [name for name, _ in rows].count("lost") == model.n_lost(number)
        again = [value for name, value in rows if name == "again"]
        of_it = [event for event in model.events if isinstance(event, RepeatFinished) and event.trial == number]
        assert len(again) == len(of_it)
        is_result = model.published is not None and number == model.champion(len(model.events))
        assert ("result" in dict(rows)) == is_result


def check_page(stored: StoredRun, model: Model) -> None:
    table = list(rows(stored, 0))
    assert [row.verdict for row in table] == model.verdicts
    assert [row.value for row in table] == [model.shown(model.loss(n)) for n in model.numbers]
    assert [as_change(row.change) for row in table] == [as_change(model.change(n)) for n in model.numbers]
    tones = ["failed" if model.loss(n) is None else "kept" if model.stands(n) else "reverted" for n in model.numbers]
    assert [row.tone for row in table] == tones
    run = RunOnPage(stored, Task.load(BIGRAM), {}, None)
    found = origins_table([run])
    gains = {dict(zip(found.columns, row, strict=True))["origin"]: float(row[8]) for row in found.rows}
    assert found.columns[8] == "lowered the loss by"
    assert gains == pytest.approx(model.gains, abs=1e-6)
    (summary,) = runs_table([run]).rows
    assert summary[3] == str(len(model.numbers))
    assert model.result is not None
    assert float(summary[4]) == model.shown(model.loss(model.result))
    decided = [_standing(event) for event in model.events if isinstance(event, RepeatFinished)]
    assert [row[3].replace(" ", "_") or None for row in repeats_table([run]).rows] == decided
    listed = [int(row[1]) for row in slices_table([(stored.run_id, stored.history)], stored.metric).rows]
    assert listed == list(model.opened)


def check_curves_and_trackers(stored: StoredRun, model: Model) -> None:
    assert list(best_so_far(stored.history, as_charged).best) == model.best
    tracked = facts_of(stored)
    assert [trial.metrics["best_so_far"] for trial in tracked.trials] == [model.shown(loss) for loss in model.best]
    assert [trial.number for trial in tracked.trials] == model.by_finish
    assert [trial.step for trial in tracked.trials] == list(range(len(model.outcomes)))
    kept = [outcome.kept for outcome in model.outcomes.values()]
    assert [bool(trial.metrics["kept"]) for trial in tracked.trials] == kept
    for trial in tracked.trials:
        assert _word(trial.tags.get("standing"), trial.number, trial.tags["status"]) == model.verdict(trial.number)


def check_tables(stored: StoredRun, model: Model) -> None:
    write_results(stored.paths.results_tsv, stored.metric, stored.history.by_finish, stored.hashes)
    listed = list(csv.DictReader(stored.paths.results_tsv.open(newline=""), delimiter="\t"))
    assert [row["status"] == "keep" for row in listed] == [model.stands(n) for n in model.by_finish]
    # autoresearch's notebook draws the running best of what was kept.
    kept = [float(row[stored.metric.name]) for row in listed if row["status"] == "keep"]
    ratchet = list(accumulate(kept, max if model.maximise else min))
    best = dict(zip(model.by_finish, model.best, strict=True))
    assert ratchet == [model.shown(best[n]) for n in model.by_finish if model.stands(n)]
    text = spreadsheet(stored.history.trials, stored.hashes, stored.metric)
    listed = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in listed] == model.verdicts
    assert [row["kept"] == "yes" for row in listed] == [model.outcomes[n].kept for n in model.numbers]
    parents = [model.begun[n].parent for n in model.numbers]
    assert [row["parent"] for row in listed] == ["" if parent is None else str(parent) for parent in parents]


def check_keeper(stored: StoredRun, model: Model) -> None:
    """The rule decides by the incumbent that the readers show."""
    at = len(model.events)
    assert (stored.keeper.incumbent, stored.keeper.champion) == (model.incumbent(at), model.champion(at))


CHECKS = (check_log_and_best, check_json, check_show, check_page, check_curves_and_trackers, check_tables, check_keeper)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, bool], StoredRun]:
    """Runs of the two-tier rule: one that minimises and one that maximises, without a pool and with one.

    Every trial there may be has its tag.
    """
    results: list[Result] = [BASELINE, *[(searched(0.5), scored(3.0))] * (3 * MAX_STEPS + MAX_WIDTH)]
    goals = {False: "minimise", True: "maximise"}
    root = tmp_path_factory.mktemp("readers") / "runs"
    pools: dict[bool, dict[str, object]] = {False: {}, True: {"pool": "digest", "n_slices": N_SLICES}}
    return {
        (maximise, pooled): made_run(
            root, results, name=f"{goal}-{pooled}", options={"keep": "two-tier", "metric_goal": goal, **pool}
        )
        for maximise, goal in goals.items()
        for pooled, pool in pools.items()
    }


@given(models())
@settings(max_examples=40, deadline=None)
def test_all_readers_agree_with_a_plain_model(bases: dict[tuple[bool, bool], StoredRun], model: Model) -> None:
    base = bases[model.maximise, model.pooled]
    write_journal(base.paths, model.events)
    stored = base.again()
    for check in CHECKS:
        check(stored, model)


def test_after_a_roll_back_all_readers_go_by_the_champion(tmp_path: Path) -> None:
    """Trial 1 was kept and rolled back; trial 2 is worse than trial 1 was, and better than the baseline."""
    results: list[Result] = [
        (BASELINE[0], scored(2.0, kept=True)),
        (searched(0.1), scored(1.5, kept=True)),
        Again(1, scored(2.1), KeepState.ROLLED_BACK),
        (searched(0.2, origin=Origin.LLM), scored(1.9, kept=True)),
    ]
    stored = made_run(tmp_path / "runs", results, options={"keep": "two-tier"}, all_commits=True)
    model = Model(list(read_events(stored.paths.journal)))  # type: ignore[arg-type]
    for check in CHECKS:
        check(stored, model)

    changes = [(0, "baseline", ""), (1, "rolled back", "-0.50000"), (2, "provisional", "-0.10000")]
    assert log_of(output_of(stored, "log")) == changes
    assert [(row.number, row.verdict, as_change(row.change)) for row in rows(stored, 0)] == changes
    run = RunOnPage(stored, stored.task(0), {}, None)
    page = render([run], datetime(2026, 11, 22, 6, tzinfo=UTC))
    assert re.findall(r"[+-]\d\.\d{5}(?=</td>)", page) == ["-0.50000", "-0.10000"]
    assert {row[1]: row[8] for row in origins_table([run]).rows} == {"searcher": "0.000000", "llm": "0.100000"}
    assert best_so_far(stored.history, as_trials).best == (2.0, 2.0, 1.9)
    assert [trial.metrics["best_so_far"] for trial in facts_of(stored).trials] == [2.0, 2.0, 1.9]
    document = json.loads(output_of(stored, "log", "--json"))
    assert (document["champion"], document["incumbent"]) == (0, 2)
    assert [trial["standing"] for trial in document["trials"]] == ["confirmed", "rolled_back", "provisional"]
    assert json.loads(output_of(stored, "best", "--json"))["number"] == 2
    assert json.loads(output_of(stored, "show", "made/1", "--json"))["standing"] == "rolled_back"
    table = [line.split("\t")[1:4:2] for line in stored.paths.results_tsv.read_text().splitlines()[1:]]
    assert table == [["2.000000", "keep"], ["1.500000", "discard"], ["1.900000", "keep"]]

    exported = export(stored, tmp_path / "out")
    assert (exported.best.number, len(exported.patches)) == (2, 1)  # the withdrawn change is no part of it
    assert exported.script.read_text() == stored.task(2).source
    verdicts = [row["verdict"] for row in csv.DictReader(exported.table.open(newline=""))]
    assert verdicts == ["baseline", "rolled back", "provisional"]


def test_what_is_exported_is_what_best_shows_and_not_what_lies_beyond_it(tmp_path: Path) -> None:
    results: list[Result] = [
        BASELINE,
        (searched(0.1), scored(2.0, kept=True)),
        Again(1, scored(2.1), KeepState.REPEATED),
        (searched(0.2), scored(1.9, kept=True)),
    ]
    stored = made_run(tmp_path / "runs", results, options={"keep": "two-tier"}, all_commits=True)
    assert json.loads(output_of(stored, "best", "--json"))["number"] == 1
    exported = export(stored, tmp_path / "out")
    assert (exported.best.number, len(exported.patches)) == (1, 1)
    assert exported.script.read_text() == stored.task(1).source != stored.task(2).source
