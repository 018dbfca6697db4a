"""The charts of the report as its reader uses them: pointer, zoom, dark mode, print, and no JavaScript."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import HOSTILE, PATIENCE_MS, Reader
from tests.late import Late

if TYPE_CHECKING:
    from playwright.sync_api import Browser

playwright = Late("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROGRESS = "run-0-trials"
INSTANCE = f"echarts.getInstanceByDom(document.querySelector('[data-chart=\"{PROGRESS}\"]'))"


# In one call, and frame by frame until it stays: charts above are drawn meanwhile and move it, and a chart that is
# drawn again is another element.
STEADY = """(name) => {
    const node = document.querySelector(`[data-chart="${name}"]`);
    node.scrollIntoView({ block: "center" });
    const isDrawn = (each) => each.querySelector("svg, canvas") || !each.checkVisibility();
    const isSeen = ({ top, bottom }) => bottom > 0 && top < innerHeight; // others are drawn when they are seen
    const seen = [...document.querySelectorAll("[data-chart]")].filter((each) => isSeen(each.getBoundingClientRect()));
    const chart = globalThis.echarts?.getInstanceByDom(node);
    if (!chart || !seen.every(isDrawn)) return false;
    const box = node.getBoundingClientRect();
    const found = (IN_CHART)(chart)?.map(([x, y]) => [box.left + x, box.top + y]);
    const last = (globalThis.steady ??= { text: "", n: 0 });
    const text = JSON.stringify(found ?? null);
    last.n = text === last.text ? last.n + 1 : 0;
    last.text = text;
    return found && last.n > 9 ? found : false;
}"""


def points(reader: Reader, name: str, in_chart: str) -> list[tuple[float, float]]:
    """Return where points of a chart are on the screen, once it stays where it is.

    `in_chart`: a function of the ECharts instance that returns the points within the chart, or nothing yet.
    """
    steady = STEADY.replace("IN_CHART", in_chart)
    found = reader.page.wait_for_function(steady, arg=name, polling="raf").json_value()
    return [(float(x), float(y)) for x, y in found]


def place(reader: Reader, series: str, index: int) -> tuple[float, float]:
    """Return where a point of the progress chart is on the screen, once the chart is drawn."""
    (found,) = points(
        reader, PROGRESS,
        f"""(chart) => {{
            const found = chart.getOption().series.find((each) => each.name === {series!r});
            return found && [chart.convertToPixel({{seriesId: found.id}}, found.data[{index}])];
        }}""",
    )  # fmt: skip
    return found


def range_of(reader: Reader) -> list[float]:
    found: Any = reader.page.evaluate(f"() => {INSTANCE}.getModel().getComponent('xAxis').axis.scale.getExtent()")
    return [float(end) for end in found]


def test_a_point_says_which_trial_it_is_and_opens_it(reader: Reader) -> None:
    x, y = place(reader, "provisional", 0)
    reader.page.mouse.move(x, y)
    playwright.expect(reader.page.locator("#tip")).to_contain_text("trial 30, provisional")
    reader.page.mouse.click(x, y)
    playwright.expect(reader.page.locator("tr.opened .open")).to_have_text("30")
    assert reader.complaints == []


def test_a_hostile_title_beside_the_pointer_is_text(reader: Reader) -> None:
    written = json.loads(reader.page.locator("#charts").text_content() or "")
    groups = written["charts"][PROGRESS]["panels"][0]["points"]
    trials = next(group["trials"] for group in groups if group["name"] == "reverted")
    index = written["lists"][trials["list"]].index(38)
    x, y = place(reader, "reverted", index)
    reader.page.mouse.move(x, y)
    playwright.expect(reader.page.locator("#tip")).to_contain_text(HOSTILE)
    assert reader.page.locator("img").count() == 0
    assert "owned" not in reader.page.title()


def test_the_wheel_with_control_zooms_and_new_data_keep_the_zoom(reader: Reader) -> None:
    x, y = place(reader, "provisional", 0)
    whole = range_of(reader)
    reader.page.mouse.move(x, y)
    reader.page.mouse.wheel(0, -300)
    assert range_of(reader) == whole  # without Ctrl the page scrolls
    x, y = place(reader, "provisional", 0)
    reader.page.mouse.move(x, y)
    reader.page.keyboard.down("Control")
    reader.page.mouse.wheel(0, -300)
    reader.page.keyboard.up("Control")
    reader.page.wait_for_function(f"() => {INSTANCE}.getOption().dataZoom[0].end < 100")
    zoomed = range_of(reader)
    assert zoomed[1] - zoomed[0] < whole[1] - whole[0]
    reader.page.evaluate(
        f"""() => {{
            const written = JSON.parse(document.getElementById("charts").textContent);
            written.charts["{PROGRESS}"].panels[0].points.push({{x: [39], y: [3], trials: [40], name: "a new one"}});
            autocentaurCharts.draw(written);
        }}"""
    )
    assert range_of(reader) == zoomed
    playwright.expect(reader.page.get_by_role("button", name="a new one")).to_be_visible()


def test_a_library_that_was_changed_does_not_run(browser: "Browser", report: Path, tmp_path: Path) -> None:
    page = report.read_text(encoding="utf-8")
    block = re.search(r'id="library">([^<]+)<', page)
    assert block is not None
    changed = base64.b64encode(gzip.compress(b"document.title = 'owned'")).decode()
    (tmp_path / "changed.html").write_text(page.replace(block[1], changed), encoding="utf-8")
    context = browser.new_context(offline=True)
    context.set_default_timeout(PATIENCE_MS)
    reader = Reader(context.new_page())
    reader.page.on("console", lambda message: reader.complaints.append(message.text))
    reader.page.goto((tmp_path / "changed.html").as_uri())
    reader.page.wait_for_function("() => document.querySelector('head > script')")
    assert reader.page.title() != "owned"
    assert any("Content Security Policy" in message for message in reader.complaints)
    reader.page.locator("#table .open", has_text="38").click()  # the rest of the page works
    playwright.expect(reader.page.locator("tr.details")).to_be_visible()
    context.close()


def test_the_legend_hides_a_kind_of_point(reader: Reader) -> None:
    place(reader, "reverted", 0)
    chart = reader.page.locator(f'figure:has([data-chart="{PROGRESS}"])')
    before = chart.locator("svg[width] path").count()
    button = chart.get_by_role("button", name="reverted")
    button.click()
    playwright.expect(button).to_have_attribute("aria-pressed", "false")
    reader.page.wait_for_function(
        f"before => document.querySelectorAll('[data-chart=\"{PROGRESS}\"] svg path').length < before", arg=before
    )


def test_the_colours_of_a_chart_follow_the_theme(reader: Reader) -> None:
    def colours() -> set[str]:
        texts = reader.page.locator(f'[data-chart="{PROGRESS}"] svg text')
        return set(texts.evaluate_all("all => all.map((each) => each.getAttribute('fill'))"))

    reader.page.emulate_media(color_scheme="light")
    place(reader, "reverted", 0)
    light = colours()
    reader.page.get_by_role("button", name="Dark").click()
    reader.page.wait_for_function(
        f"light => document.querySelector('[data-chart=\"{PROGRESS}\"] svg text').getAttribute('fill') !== light",
        arg=next(iter(light)),
    )
    assert not light & colours()


def test_letters_of_a_chart_can_be_read_on_a_phone(browser: "Browser", report: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator(f'[data-chart="{PROGRESS}"]').scroll_into_view_if_needed()
    # In one call: a chart that is drawn again takes its letters from the page.
    letters = page.wait_for_function(
        """selector => {
            const written = [...document.querySelectorAll(selector)].filter((each) => each.textContent);
            return written.length > 0 && written.map((each) => ({
                size: parseFloat(getComputedStyle(each).fontSize), ...each.getBoundingClientRect().toJSON()
            }));
        }""",
        arg=f'[data-chart="{PROGRESS}"] svg text',
    ).json_value()
    boxes = [each for each in letters if each["width"] > 0]
    assert boxes
    assert min(each["size"] for each in boxes) >= 10
    assert all(box["left"] >= 0 and box["right"] <= 390 for box in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = (
                a["right"] <= b["left"] or b["right"] <= a["left"] or a["bottom"] <= b["top"] or b["bottom"] <= a["top"]
            )
            assert apart, (a, b)
    context.close()


def test_on_a_phone_the_first_tap_shows_a_trial_and_the_second_opens_it(browser: "Browser", report: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, offline=True)
    context.set_default_timeout(PATIENCE_MS)
    reader = Reader(context.new_page())
    reader.page.goto(report.as_uri())
    x, y = place(reader, "provisional", 0)
    reader.page.touchscreen.tap(x, y)
    playwright.expect(reader.page.locator("#tip")).to_contain_text("tap again to open")
    assert reader.page.locator("tr.details").count() == 0
    reader.page.touchscreen.tap(x, y)
    playwright.expect(reader.page.locator("tr.opened .open")).to_have_text("30")
    context.close()


def test_dragging_along_an_axis_selects_configurations(reader: Reader) -> None:
    instance = "echarts.getInstanceByDom(document.querySelector('[data-chart=\"parallel-chart\"]'))"
    active = f"() => {instance}.getModel().getSeries()[0].getRawIndicesByActiveState('active').length"
    top, bottom = points(
        reader, "parallel-chart",
        """(chart) => {
            const system = chart.getModel().getComponent("parallel").coordinateSystem;
            return [0.9, 0.5].map((value) => system.dataToPoint(value, system.dimensions[0]));
        }""",
    )  # fmt: skip
    reader.page.mouse.move(*top)
    reader.page.mouse.down()
    reader.page.mouse.move(top[0], (top[1] + bottom[1]) / 2)
    reader.page.mouse.move(*bottom)
    reader.page.mouse.up()
    reader.page.wait_for_function(active)
    assert 0 < reader.page.evaluate(active) < 39


def test_charts_are_printed_in_light_colours_and_come_back(reader: Reader) -> None:
    reader.page.emulate_media(color_scheme="dark")
    place(reader, "reverted", 0)
    reader.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    importance = reader.page.locator('[data-chart="importance-chart"] svg')  # far below the screen
    playwright.expect(importance).to_be_attached()
    assert reader.page.evaluate("document.documentElement.dataset.theme") == "light"
    reader.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert reader.page.evaluate("document.documentElement.dataset.theme") is None


def test_without_javascript_each_chart_has_its_sentence(browser: "Browser", report: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(report.as_uri())
    sentence = page.locator(f'[data-chart="{PROGRESS}"] noscript p')
    playwright.expect(sentence).to_be_visible()
    assert "val_bpb of 40 trials against trials: 3 kept, 1 without a loss" in (sentence.text_content() or "")
    context.close()
