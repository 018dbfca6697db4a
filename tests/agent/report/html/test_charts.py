"""What the charts of a report show, as data: the browser only draws it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.llm.model import ModelUsage
from agent.report.html.charts.chart import Chart, ChartAxis, Line, Panel, document
from agent.report.html.charts.family_tree import family_tree
from agent.report.html.charts.progress import comparison, progress
from agent.report.html.charts.space import parallel, slices, varied
from agent.report.html.charts.timelines import slots_over_time, spending
from agent.report.html.charts.training_curves import read_points, thinned, training_curves
from agent.task.curve_format import PATTERN, CurveFormat, compiled
from agent.task.task import Task
from agent.trials.best_so_far import as_trials
from agent.trials.events import AttemptLost, TrialFinished, TrialStarted
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.learning_curve import Point
from agent.trials.machine_speed import LostAttempt, SlotUse
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Proposal, Status
from tests.made_runs import BASELINE, BEGAN, Again, failed, made_history, made_run, scored, searched

METRIC = Metric(name="val_bpb")
ACCURACY = Metric(name="accuracy", goal="maximise")


def of(chart: Chart | None) -> dict[str, Any]:
    assert chart is not None
    return json.loads(json.dumps(chart.to_json(), allow_nan=False))  # type: ignore[no-any-return]


def points(chart: Chart, panel: int = 0) -> dict[str, list[int]]:
    return {each["name"]: each["trials"] for each in of(chart)["panels"][panel]["points"]}


def test_numbers_are_short_and_never_infinite() -> None:
    line = Line([0.1 + 0.2, 1.0], [1 / 3, float("inf")])
    chart = Chart("c", "t", "d", [Panel(ChartAxis("x"), ChartAxis("y"), [line])])
    assert of(chart)["panels"][0]["lines"] == [{"x": [0.3, 1], "y": [0.3333333, None]}]


def test_lists_that_charts_share_are_written_once() -> None:
    many = [n / 7 for n in range(50)]
    axis = ChartAxis("x")
    charts = [Chart(name, "t", "d", [Panel(axis, axis, [Line(many, many[::-1]), Line([1.0], [2.0])])]) for name in "ab"]
    written = document(charts)
    assert len(written["lists"]) == 2
    lines = written["charts"]["b"]["panels"][0]["lines"]
    assert [written["lists"][lines[0][name]["list"]] for name in "xy"] == [
        of(charts[0])["panels"][0]["lines"][0][n] for n in "xy"
    ]
    assert lines[1] == {"x": [1], "y": [2]}


def test_progress_has_each_trial_once_in_its_group() -> None:
    history = made_history(
        [
            BASELINE,
            (searched(0.1), scored(2.5, kept=True)),
            Again(1, scored(2.5), KeepState.CONFIRMED),
            (searched(0.2), scored(2.6)),
            (searched(0.3), scored(9.0)),
            (searched(0.4), failed(Status.CRASHED)),
            (searched(0.5), scored(2.4, kept=True)),
            Again(5, scored(2.9), KeepState.ROLLED_BACK),
            (searched(0.6), scored(2.45, kept=True)),
        ]
    )
    chart = progress(history, METRIC, as_trials, "trials", sigma=0.01, name="p", run=3)
    assert points(chart) == {
        "baseline": [0], "confirmed": [1], "reverted": [2], "worse than shown": [3], "no loss": [4], "rolled back": [5],
        "provisional": [6],
    }  # fmt: skip
    (panel,) = of(chart)["panels"]
    assert {each["run"] for each in panel["points"]} == {3}
    (best,) = panel["lines"]
    # Only where it steps, and its ends; the trial that was rolled back never counts.
    assert list(zip(best["x"], best["y"], strict=True)) == [(0, 3), (1, 2.5), (6, 2.45)]
    (band,) = panel["bands"]
    assert (band["low"], band["high"]) == ([2.98], [3.02])


def test_the_trials_of_structure_and_numbers_look_different() -> None:
    def of_turn(tunes: int | None) -> Proposal:
        kind = TurnKind.STRUCTURE if tunes is None else TurnKind.NUMBERS
        return replace(searched(0.1 if tunes is None else 0.2), turn=TurnChoice(kind, "", tunes))

    history = made_history(
        [
            BASELINE,
            (of_turn(None), scored(2.5, kept=True)),
            (of_turn(1), scored(2.6)),
            (of_turn(1), scored(2.4, kept=True)),
            (of_turn(None), scored(2.7)),
        ]
    )
    chart = progress(history, METRIC, as_trials, "trials", sigma=None, name="p", run=0)
    assert points(chart) == {
        "baseline": [0], "structure, provisional": [1], "numbers, reverted": [2], "numbers, provisional": [3],
        "structure, reverted": [4],
    }  # fmt: skip


def test_a_maximised_metric_is_drawn_as_its_user_named_it() -> None:
    history = made_history([(BASELINE[0], scored(-0.5, kept=True)), (searched(0.1), scored(-0.75, kept=True))])
    (panel,) = of(progress(history, ACCURACY, as_trials, "trials", sigma=None, name="p", run=0))["panels"]
    assert panel["lines"][0]["y"] == [0.5, 0.75]


def test_a_comparison_has_a_line_per_run_and_a_band_per_mode() -> None:
    runs = [made_history([BASELINE, (searched(0.1), scored(loss, kept=True))]) for loss in (2.0, 2.5, 1.0)]
    chart = comparison({"random": runs[:2], "local": runs[2:]}, METRIC, as_trials, "trials", name="c")
    (panel,) = of(chart)["panels"]
    assert [line.get("name") for line in panel["lines"]] == [None, None, "random, mean of 2 runs", "local, 1 run"]
    assert len(panel["bands"]) == 1
    assert panel["lines"][2]["y"][-1] == 2.25


def test_the_family_tree_follows_what_was_edited() -> None:
    history = made_history(
        [
            BASELINE,
            (searched(0.1), scored(2.9, kept=True)),
            (searched(0.2), scored(3.5)),
            (searched(0.3), scored(2.8, kept=True)),
            Again(3, scored(3.2), KeepState.ROLLED_BACK),
            (searched(0.4), failed(Status.CRASHED)),
            TrialStarted(5, 0, searched(0.5), BEGAN.isoformat()),
        ]
    )
    chart = family_tree(history, name="t", run=0)
    (panel,) = of(chart)["panels"]
    rows = {n: y for each in panel["points"] for n, y in zip(each["trials"], each["y"], strict=True)}
    assert rows == {0: 0, 1: 1, 2: 2, 3: 2, 4: 1, 5: 1}
    assert points(chart)["in flight"] == [5]
    path = panel["lines"][-1]
    assert (path["name"], path["x"][-1]) == ("path to the incumbent", history.incumbent and history.incumbent.number)


def test_slices_and_parallel_lines_leave_out_names_with_one_value(bigram: Task) -> None:
    assert bigram.space is not None
    scores = [(0, n, {**bigram.defaults, "MIX": n / 20, "ORDER": ("forward", "backward")[n % 2]}, 3 - n / 40)
              for n in range(20)] + [(1, 0, {**bigram.defaults, "MIX": 0.5, "ORDER": "forward"}, 50.0)]  # fmt: skip
    assert [p.name for p in varied(bigram.space, scores)] == ["MIX", "ORDER"]
    chart = slices(bigram.space, scores, METRIC, name="s")
    mix, order = of(chart)["panels"]
    assert order["x"]["choices"] == ["forward", "backward"]
    assert points(chart)["best tenth"] == [19, 18]
    beyond = next(each for each in mix["points"] if each["name"] == "worse than shown")
    assert (beyond["run"], beyond["trials"]) == (1, [0])
    assert beyond["y"][0] < 50
    data = of(parallel(bigram.space, scores, METRIC, name="p"))
    assert [axis["name"] for axis in data["axes"]] == ["MIX", "ORDER", "val_bpb"]
    assert data["marks"][0] == "0/19"
    assert data["ranks"] == [2, 1, *[0] * 19]
    assert data["values"][0] == [0.95, 1, 2.525]


def test_a_power_of_two_has_ticks_at_powers_of_two(bigram: Task) -> None:
    assert bigram.space is not None
    scores = [(0, n, {**bigram.defaults, "CHUNK": 64 << n % 3, "SMOOTHING": 0.1 * (n + 1)}, 3.0) for n in range(6)]
    bases = {p["x"]["name"]: p["x"]["log_base"] for p in of(slices(bigram.space, scores, METRIC, name="s"))["panels"]}
    assert bases == {"SMOOTHING": 10, "CHUNK": 2}


def test_training_curves_come_from_the_logs(tmp_path: Path) -> None:
    form = CurveFormat(compiled(PATTERN), 100)
    log = "".join(f"step {n} progress {n / 300:.3f} loss {4 - n / 300:.4f}\n" for n in range(301))
    results = [
        BASELINE,
        (searched(0.1), scored(2.9, kept=True)),
        *((searched(0.2 + n / 100), scored(3.1)) for n in range(9)),
    ]
    logs = {0: log, 1: log, 2: log, 3: "progress 0.5 loss nan\n", 5: log}
    stored = made_run(tmp_path / "runs", results, logs=logs)
    (panel,) = of(training_curves(stored, form, name="c", run=2))["panels"]
    assert [(line["mark"], line["name"]) for line in panel["lines"]] == [
        ("2/2", "other trials"), ("2/5", "other trials"), ("2/0", "baseline"), ("2/1", "incumbent: trial 1"),
    ]  # fmt: skip
    faint, strong = panel["lines"][0], panel["lines"][-1]
    assert (len(faint["x"]), len(strong["x"])) == (40, 200)
    assert (faint["x"][0], faint["y"][0], faint["x"][-1], faint["y"][-1]) == (0, 4, 100, 3)
    few = of(training_curves(stored, form, name="c", run=0, max_curves=3))["panels"][0]["lines"]
    assert [line["mark"] for line in few] == ["0/0", "0/1"]  # trials 10, 7 and 4 have no log
    none = made_run(tmp_path / "others", results, name="others")
    assert training_curves(none, form, name="c", run=0) is None


def test_a_log_that_is_no_plain_file_has_no_curve(tmp_path: Path) -> None:
    form = CurveFormat(compiled(PATTERN), 100)
    (tmp_path / "real").write_text("progress 0.5 loss 1\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_points(tmp_path / "real", form) == [Point(0.5, 1.0)]
    assert read_points(tmp_path / "link", form) == []
    assert read_points(tmp_path / "missing", form) == []


@pytest.mark.parametrize("n_points", [0, 1, 3, 4, 1000])
def test_thinning_keeps_both_ends(n_points: int) -> None:
    whole = [Point(n / 1000, float(n)) for n in range(n_points)]
    found = thinned(whole, 3)
    assert len(found) == min(3, n_points)
    assert found[:1] == whole[:1]
    assert found[-1:] == whole[-1:]


def test_lanes_show_slots_repeats_scoring_and_lost_attempts() -> None:
    def at(minute: int) -> str:
        return BEGAN.replace(minute=minute).isoformat()

    def on(slot: int, device: str) -> Any:
        place = SlotUse(slot=slot, device=device, seconds=120.0)
        return replace(scored(2.9), place=place, score=replace(scored(2.9).score, seconds=30.0))  # type: ignore[type-var]

    history = made_history(
        [
            TrialStarted(0, None, BASELINE[0], at(0)),
            TrialFinished(0, replace(on(0, "gpu 0"), kept=True), at(2)),
            TrialStarted(1, 0, searched(0.1), at(2)),
            TrialStarted(2, 0, searched(0.2), at(2)),
            AttemptLost(2, None, LostAttempt(1, "the machine was lost", 60.0, at(3))),
            TrialFinished(2, on(1, "gpu 1"), at(4)),
            TrialStarted(3, 0, searched(0.3), at(5)),
        ]
    )
    data = of(slots_over_time(history, name="s", run=0))
    assert data["names"] == ["slot 0: gpu 0", "slot 1: gpu 1", "in flight"]
    kinds = [kind for kind, _ in data["kinds"]]
    spans = [
        (data["names"][lane], begin, begin + length, kinds[kind], trial)
        for lane, begin, length, kind, trial in data["spans"]
    ]
    assert ("slot 0: gpu 0", 0, 1.5, "kept", 0) in spans
    assert ("slot 0: gpu 0", 1.5, 2, "scoring", 0) in spans
    assert ("slot 1: gpu 1", 2, 3, "lost attempt", 2) in spans
    assert ("in flight", 2, 4, "in flight", 1) in spans
    assert data["x"]["name"] == "minutes since the first trial"


def test_spending_sums_tokens_and_dollars_up_to_each_trial() -> None:
    def asked(mix: float, dollars: float | None) -> Any:
        return replace(searched(mix), usage=ModelUsage("m", 1, 100, 20, 1.0, dollars))

    history = made_history([BASELINE, (asked(0.1, 0.5), scored(2.9, kept=True)), (asked(0.2, 0.25), scored(3.1))])
    chart = spending([("made", history)], name="s")
    tokens, dollars = of(chart)["panels"]
    assert tokens["lines"][0]["y"] == [0, 120, 240]
    assert dollars["lines"][0]["y"] == [0, 0.5, 0.75]
    assert chart is not None
    assert points(chart) == {"kept": [1]}
    unknown = made_history([BASELINE, (asked(0.1, None), scored(2.9, kept=True))])
    assert len(of(spending([("made", unknown)], name="s"))["panels"]) == 1
    assert spending([("made", made_history([BASELINE]))], name="s") is None
