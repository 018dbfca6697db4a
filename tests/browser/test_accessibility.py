"""axe-core finds no serious fault of accessibility on the page, in light and in dark, with a trial opened."""

import pytest

from tests.browser.conftest import Pages, serious_faults

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width"), [("report", 1400), ("report", 390), ("comparison", 1400), ("failed", 1400)])
def test_no_serious_fault_is_found(pages: Pages, axe: str, name: str, width: int, scheme: str) -> None:
    page = pages.opened_in_full(name, width, color_scheme=scheme)
    assert serious_faults(page, axe) == []
