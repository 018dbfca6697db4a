"""axe-core finds no serious fault of accessibility on the page, in light and in dark, with a trial opened.

axe-core comes from npm's registry at the first use, into the cache of tests/clients/install.py; where it cannot be had,
the tests are skipped with the reason.
"""

import pytest

from tests.browser.conftest import Pages
from tests.clients.install import NotInstalledError, npm_package

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AXE_VERSION = "4.14.1"


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that defines `axe` on a page."""
    try:
        return (npm_package("axe-core", AXE_VERSION) / "axe.min.js").read_text()
    except NotInstalledError as reason:
        pytest.skip(f"axe-core: {reason}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width"), [("report", 1400), ("report", 390), ("comparison", 1400), ("failed", 1400)])
def test_no_serious_fault_is_found(pages: Pages, axe: str, name: str, width: int, scheme: str) -> None:
    page = pages.opened_in_full(name, width, color_scheme=scheme)
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    serious = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in serious] == []
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}  # it looked
