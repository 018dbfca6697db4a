"""The report as its reader uses it: in a browser, by mouse and by keyboard, in light and in dark."""

import pytest

from tests.browser.conftest import HOSTILE, Pages, Reader
from tests.late import Late

playwright = Late("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_page_opens_without_a_complaint_and_draws_its_charts(reader: Reader) -> None:
    playwright.expect(reader.page.locator("[data-chart] svg:visible").first).to_be_visible()
    assert len(reader.numbers()) == 40
    assert reader.complaints == []


def test_a_click_on_a_heading_sorts_numbers_as_numbers_and_blanks_last(reader: Reader) -> None:
    heading = reader.page.get_by_role("button", name="val_bpb")
    heading.click()
    assert reader.numbers()[:2] == ["37", "36"]  # the lowest losses
    assert reader.numbers()[-1] == "39"  # the failure, which has none
    heading.click()
    assert reader.numbers()[0] == "1"
    assert reader.numbers()[-1] == "39"
    playwright.expect(reader.page.locator('th[aria-sort="descending"]')).to_have_count(1)


def test_filters_work_together_and_tell_how_many_are_left(reader: Reader) -> None:
    reader.page.get_by_label("Verdict").select_option("crashed")
    assert reader.numbers() == ["39"]
    playwright.expect(reader.page.locator("#count")).to_have_text("1 of 40 trials")
    reader.page.get_by_label("Verdict").select_option("")
    reader.page.get_by_label("Find").fill("mix 0.52")
    assert reader.numbers() == ["21"]
    reader.page.get_by_label("Origin").select_option("llm")
    assert reader.numbers() == []


def test_a_trial_opens_with_diff_parameters_log_and_exchange(reader: Reader) -> None:
    reader.page.locator("#table .open", has_text="38").click()
    opened = reader.page.locator("tr.details")
    playwright.expect(opened).to_contain_text("largest difference")
    playwright.expect(opened.locator(".added", has_text="MIX")).to_contain_text("MIX = 0.97")
    playwright.expect(opened.locator(".added b")).to_have_text(["0.97"])
    playwright.expect(opened.locator(".removed b")).to_have_text(["0.9"])
    folded = opened.locator("details", has_text="reply 1: 0 tokens in")
    playwright.expect(folded).not_to_have_attribute("open", "")
    folded.locator("summary").click()
    playwright.expect(folded.locator("pre")).to_be_visible()


def test_the_keyboard_alone_is_enough(reader: Reader) -> None:
    keys = reader.page.keyboard
    keys.press("ArrowDown")  # on the page, nothing selected yet
    playwright.expect(reader.page.locator("#table .open").first).to_be_focused()
    keys.press("ArrowDown")
    keys.press("Enter")
    playwright.expect(reader.page.locator("tr.details")).to_contain_text("edit of trial 0")
    playwright.expect(reader.page.locator('.open[aria-expanded="true"]')).to_have_text("1")
    keys.press("Escape")
    playwright.expect(reader.page.locator("tr.details")).to_have_count(0)
    playwright.expect(reader.page.locator(".open").nth(1)).to_be_focused()
    keys.press("ArrowUp")
    playwright.expect(reader.page.locator(".open").first).to_be_focused()


def test_an_arrow_goes_from_find_to_the_first_row_that_fits(reader: Reader) -> None:
    keys = reader.page.keyboard
    keys.press("/")
    keys.type("broken")
    assert reader.numbers() == ["39"]
    keys.press("ArrowDown")
    keys.press("Enter")
    playwright.expect(reader.page.locator("tr.opened .open")).to_have_text("39")
    keys.press("/")
    keys.press("Escape")
    assert len(reader.numbers()) == 40


def test_the_address_names_the_opened_trial_and_back_returns(reader: Reader) -> None:
    page = reader.page
    page.locator("#table .open", has_text="12").click()
    assert page.url.endswith("#t0/12")
    page.locator("#table .open", has_text="38").click()
    assert page.url.endswith("#t0/38")
    page.go_back()
    playwright.expect(page.locator("tr.opened .open")).to_have_text(["12"])
    page.go_back()
    playwright.expect(page.locator("tr.opened")).to_have_count(0)
    page.go_forward()
    playwright.expect(page.locator("tr.opened .open")).to_have_text(["12"])
    page.locator("#table .open", has_text="12").click()  # closes it
    assert "#t" not in page.url


def test_a_link_to_a_trial_opens_it(reader: Reader) -> None:
    reader.page.goto("about:blank")
    reader.page.goto(f"{reader.address}#t0/30")
    playwright.expect(reader.page.locator("tr.opened .open")).to_have_text("30")
    assert reader.page.locator(".panel .link").get_attribute("href") == "#t0/30"
    assert reader.complaints == []


def test_what_a_trial_wrote_never_runs(reader: Reader) -> None:
    title = reader.page.title()
    for number in ("38", "39"):
        reader.page.locator("#table .open", has_text=number).click()
    playwright.expect(reader.page.locator("tr.details .panel .link")).to_have_count(2)  # both are filled
    for folded in reader.page.locator("tr.details summary").all():
        folded.click()
    playwright.expect(reader.page.locator("tr.details").first).to_contain_text(HOSTILE)
    playwright.expect(reader.page.locator("tr.details pre .ansi-red").first).to_have_text(HOSTILE)
    playwright.expect(reader.page.locator("#headline")).to_contain_text("No improvement confirmed")
    assert reader.page.title() == title
    assert reader.page.locator("img").count() == 0
    assert (
        reader.page.locator("script").count() == 6
    )  # two blocks of data, the library packed and unpacked, and two of our own
    # Even script that got into the page would be stopped: the policy lets only our own through.
    reader.page.evaluate("document.body.append(Object.assign(document.createElement('script'), "
                         "{textContent: 'document.title = \"owned\"'}))")  # fmt: skip
    assert reader.page.title() == title


def test_the_theme_follows_the_system_and_the_button(reader: Reader) -> None:
    def ground() -> str:
        return str(reader.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    reader.page.emulate_media(color_scheme="light")
    light = ground()
    reader.page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    reader.page.get_by_role("button", name="Light").click()
    assert ground() == light


def test_a_log_is_shown_as_a_terminal_shows_it(reader: Reader) -> None:
    reader.page.locator("#table .open", has_text="38").click()
    reader.page.locator("tr.details summary", has_text="training log").click()
    log = reader.page.locator("tr.details pre", has_text="100%")
    playwright.expect(log).not_to_contain_text("50%")
    colour = "getComputedStyle(document.querySelector('tr.details pre .ansi-red')).color"
    assert reader.page.evaluate(colour) != reader.page.evaluate("getComputedStyle(document.body).color")


def test_a_printed_page_is_light_and_complete(reader: Reader) -> None:
    reader.page.locator("#table .open", has_text="38").click()
    reader.page.emulate_media(media="print", color_scheme="dark")
    ink = "getComputedStyle(document.querySelector('.diff code')).color"
    paper = "getComputedStyle(document.querySelector('section')).backgroundColor"
    assert (reader.page.evaluate(ink), reader.page.evaluate(paper)) == ("rgb(28, 35, 48)", "rgb(255, 255, 255)")
    hidden = "(() => { const s = document.querySelector('#trials .scroll'); return s.scrollHeight - s.clientHeight })()"
    assert reader.page.evaluate(hidden) <= 1
    playwright.expect(reader.page.locator("tr.details .diff")).to_be_visible()


OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  const found = document.documentElement.scrollWidth > width ? ['the page'] : [];
  const isScroller = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);
  const scrolls = (element) => element && (isScroller(element) || scrolls(element.parentElement));
  for (const element of document.querySelectorAll('body *')) {
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (!box.width || style.visibility === 'hidden' || element.matches('.skip')) continue;
    const name = `${element.tagName} ${element.id} ${element.className.baseVal ?? element.className}`;
    const isCut = element.scrollWidth > element.clientWidth + 1;
    if (isCut && /hidden|clip/.test(style.overflowX)) found.push(`clips ${name}`);
    const isBlock = element instanceof HTMLElement && element.clientWidth;
    if (isCut && isBlock && !scrolls(element)) found.push(`text beyond ${name}`);
    if (box.right > width + 1 && !scrolls(element.parentElement)) found.push(`beyond the edge: ${name}`);
  }
  return found;
}"""


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["report", "comparison", "failed", "long_names"])
def test_nothing_is_cut_off_or_beyond_the_edge(pages: Pages, name: str, width: int) -> None:
    page = pages.opened_in_full(name, width)
    assert page.evaluate(OVERFLOWING) == []
    for panel in page.locator(".panel").all():
        box = panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_without_javascript_headline_tables_and_diffs_are_there(pages: Pages) -> None:
    page = pages.opened("report", 1200, java_script_enabled=False)
    playwright.expect(page.locator("#headline")).to_contain_text("Best candidate: trial 36")
    playwright.expect(page.locator("#difference .added b")).to_have_text(["0.9"])
    playwright.expect(page.locator("#table tbody tr")).to_have_count(40)
    page.locator("#edits summary").first.click()
    playwright.expect(page.locator("#edits .diff").first).to_be_visible()
    playwright.expect(page.locator("#trials noscript")).to_be_visible()
