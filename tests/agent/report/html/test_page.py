"""The page: it holds everything, fetches nothing, runs nothing that a trial wrote, and stays small."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.analysis.test_split import TestSplitResult as SplitResult
from agent.analysis.test_split import load_verified
from agent.errors import JournalError
from agent.report.html.chapters import overview
from agent.report.html.charts.picture import drawn, png
from agent.report.html.page import inert_json, render
from agent.report.html.tables import RunOnPage
from agent.report.html.trial_panels import fair_share
from agent.store.stored_run import StoredRun
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Origin, Status
from tests.made_runs import BASELINE, Again, failed, made_run, opened, opened_for_result, scored, searched
from tests.pages import details_of

MADE_AT = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def on_page(stored: StoredRun) -> RunOnPage:
    return RunOnPage(stored, stored.task(0), {}, load_verified(stored.paths.verified))


def few(root: Path, **options: str | int) -> RunOnPage:
    results = [BASELINE, (searched(0.1), scored(2.5, kept=True)), (searched(0.2), failed(Status.CRASHED, "exit 1")),
               (searched(0.3, origin=Origin.LLM), scored(2.75))]  # fmt: skip
    return on_page(made_run(root, results, **options))  # type: ignore[arg-type]


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    found = Elements(render([few(tmp_path / "runs")], MADE_AT)).found
    assert {"table", "script", "style"} <= {tag for tag, _ in found}
    references = [value for _, attributes in found for name in ("src", "href") if (value := attributes.get(name))]
    assert [reference for reference in references if not reference.startswith("#")] == []
    assert not {tag for tag, _ in found} & {"link", "iframe", "img", "object", "embed", "base"}
    # The policy forbids inline style and handlers, so that there may be none.
    assert [a for _, a in found if any(name == "style" or name.startswith("on") for name in a)] == []


def test_ids_are_unique_on_a_page_with_several_runs(tmp_path: Path) -> None:
    runs = [few(tmp_path / "runs", name=f"r{seed}", seed=seed) for seed in range(2)]
    ids = [a["id"] for _, a in Elements(render(runs, MADE_AT)).found if "id" in a]
    assert len(ids) == len(set(ids))


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    results = [BASELINE, (searched(0.1, title=HOSTILE), scored(2.5, kept=True)),
               (searched(0.2), failed(Status.CRASHED, HOSTILE))]  # fmt: skip
    calls = [{"messages": [{"role": "user", "content": HOSTILE}], "reply": HOSTILE}]
    stored = made_run(tmp_path / "runs", results, logs={1: HOSTILE}, exchanges={1: calls})
    page = render([on_page(stored)], MADE_AT)
    found = Elements(page).found
    packed = [{"type": "application/gzip", "id": name} for name in ("details", "library")]
    charts = {"type": "application/json", "id": "charts"}
    assert [a for tag, a in found if tag == "script"] == [packed[0], charts, packed[1], {}, {}]
    assert "img" not in {tag for tag, _ in found}
    policy = next(a["content"] for _, a in found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "unsafe" not in policy
    texts = details_of(page)["0/1"]["texts"]
    assert HOSTILE in [text["content"] for text in texts]  # nothing is lost by the escaping


def test_data_cannot_end_its_element() -> None:
    written = inert_json({"a": "</script><!--<script>&amp;"})
    assert not set("<>&") & set(written)
    assert json.loads(written) == {"a": "</script><!--<script>&amp;"}


def test_a_page_tells_modes_apart_and_compares_them(tmp_path: Path) -> None:
    runs = [few(tmp_path / "runs", name=f"{mode}-{seed}", mode=mode, seed=seed)
            for mode in ("random", "local") for seed in (0, 1)]  # fmt: skip
    page = render(runs, MADE_AT)
    assert "random, mean of 2 runs" in page
    assert "local, mean of 2 runs" in page
    assert page.count("data-trial-row") >= 16


def test_a_run_whose_baseline_failed_has_a_page(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [(BASELINE[0], failed(Status.CRASHED, "no module named torch"))])
    page = render([on_page(stored)], MADE_AT)
    assert "no module named torch" in page
    assert "the baseline has no loss, so no trial can be compared with it: crashed" in page


def test_a_picture_for_slides_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "slide.png"
    path.write_bytes(png(overview([few(tmp_path / "runs")])))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_title_of_a_picture_does_not_lie_on_its_legend(tmp_path: Path) -> None:
    chart = overview([few(tmp_path / "runs")])
    figure = drawn(chart)
    figure.draw_without_rendering()
    (legend,), (axes, *_) = figure.legends, figure.axes
    titles = [axes._left_title, *([figure._suptitle] if figure._suptitle else [])]  # type: ignore[attr-defined]
    shown = [title for title in titles if title.get_text()]
    assert [title.get_text() for title in shown] == [chart.title]
    assert not legend.get_window_extent().overlaps(shown[0].get_window_extent())


@pytest.mark.long
def test_a_thousand_trials_with_long_texts_are_a_file_to_mail(tmp_path: Path) -> None:
    results = [BASELINE, *((searched(n / 1000), scored(3.5 - n / 1000)) for n in range(1, 1000))]
    talk = "x" * 20_000
    call = [{"messages": [{"role": "user", "content": talk}], "reply": talk}]
    numbers = range(1, 1000)
    stored = made_run(
        tmp_path / "runs", results, logs=dict.fromkeys(numbers, talk), exchanges=dict.fromkeys(numbers, call)
    )
    page = render([on_page(stored)], MADE_AT)
    assert len(page.encode()) < 2.5e6
    assert re.search(r"[1-9]\d+ of \d+ diffs, logs, prompts and replies are shortened", page)


def test_short_texts_leave_their_share_to_long_ones() -> None:
    assert fair_share([10, 10, 1000], 100) == 80
    assert fair_share([10, 20], 100) == 20
    assert fair_share([], 100) == 0


def test_the_result_on_the_test_split_is_on_the_page(tmp_path: Path) -> None:
    run = few(tmp_path / "runs")
    assert "Test split" not in render([run], MADE_AT)
    SplitResult(1, 2.5, 2.75, 3.0, 3.125).save(run.stored.paths.verified)
    page = render([on_page(run.stored)], MADE_AT)
    assert "2.750000" in page
    assert "+0.125000" in page  # beyond the baseline's own gap


def test_a_broken_verdict_of_the_test_split_is_named(tmp_path: Path) -> None:
    path = tmp_path / "verified.json"
    assert load_verified(path) is None
    path.write_text('{"trial": 1}')
    with pytest.raises(JournalError, match=str(path)):
        load_verified(path)


def test_a_metric_to_maximise_is_shown_as_its_user_named_it() -> None:
    found = SplitResult(1, -0.75, -0.5, -0.5, -0.5).describe(Metric(name="accuracy", goal="maximise"))
    assert "accuracy 0.500000 (validation 0.750000, gap -0.250000" in found


def test_what_slices_confirmed_has_tiles_and_a_table_of_its_own(tmp_path: Path) -> None:
    results = [
        BASELINE,
        (searched(0.1), scored(2.0, kept=True)),
        Again(1, scored(2.1), KeepState.CONFIRMED, slices=(opened(3, 1, 0.29),)),
        opened_for_result(7, 1, 0.25),
    ]
    pooled = {"keep": "two-tier", "pool": "digest", "n_slices": 10}
    stored = made_run(tmp_path / "runs", results, options=pooled)
    page = render([on_page(stored)], MADE_AT)
    assert 'best val_bpb, confirmed on unseen text</h2><p class="value">3.250000</p>' in page
    assert 'id="slices-title">Unseen text</h2>' in page
    assert "<td>+0.25 ± 0.03</td>" in page
    assert "★</span> confirmed" in page
    without = made_run(tmp_path / "others", [*results[:2], Again(1, scored(2.1), KeepState.REPEATED)])
    page = render([on_page(without)], MADE_AT)
    assert 'best val_bpb, repeated</h2><p class="value">2.100000</p>' in page
    assert 'id="slices"' not in page
    assert "confirmed" not in re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
