"""The report as its reader uses it: in a browser, by mouse and by keyboard, in light and in dark."""

import pytest

from tests.browser.conftest import HOSTILE, Reader
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
    playwright.expect(opened.locator(".added", has_text="MIX")).to_contain_text("+MIX = 0.97")
    folded = opened.locator("details", has_text="reply 1: 0 tokens in")
    playwright.expect(folded).not_to_have_attribute("open", "")
    folded.locator("summary").click()
    playwright.expect(folded.locator("pre")).to_be_visible()


def test_the_keyboard_alone_is_enough(reader: Reader) -> None:
    keys = reader.page.keyboard
    keys.press("/")
    keys.type("broken")
    assert reader.numbers() == ["39"]
    keys.press("Escape")
    reader.page.locator("#table .open").first.focus()
    keys.press("ArrowDown")
    keys.press("Enter")
    playwright.expect(reader.page.locator("tr.details")).to_contain_text("change of trial 0")
    playwright.expect(reader.page.locator('.open[aria-expanded="true"]')).to_have_text("1")
    keys.press("Escape")
    playwright.expect(reader.page.locator("tr.details")).to_have_count(0)
    playwright.expect(reader.page.locator(".open").nth(1)).to_be_focused()


def test_what_a_trial_wrote_never_runs(reader: Reader) -> None:
    title = reader.page.title()
    for number in ("38", "39"):
        reader.page.locator("#table .open", has_text=number).click()
    for folded in reader.page.locator("tr.details summary").all():
        folded.click()
    playwright.expect(reader.page.locator("tr.details").first).to_contain_text(HOSTILE)
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
