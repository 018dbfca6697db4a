"""Every link in README.md and docs/ leads somewhere, on the site and on GitHub."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Link, anchors, links


def test_every_link_leads_somewhere() -> None:
    found = [f"{link.page}:{link.line}: {wrong}" for link in links() if (wrong := fault(link)) is not None]
    assert found == []


@pytest.mark.parametrize(
    "target", ["nowhere.md", "modes.md#nowhere", "#nowhere", "img/nowhere.png", "http:/one-slash.org", "../../out.md"]
)
def test_a_broken_link_is_found(target: str) -> None:
    assert fault(Link("docs/models.md", 1, target)) is not None


def fault(link: Link) -> str | None:
    """Return what is wrong with a link; None if nothing is. Nothing is asked of the network."""
    if ":" in link.target:
        is_address = re.fullmatch(r"https?://[\w.-]+\.\w+(:\d+)?(/[^\s<>\"]*)?|mailto:\S+@\S+", link.target)
        return None if is_address else f"{link.target} is no address"
    name, _, anchor = link.target.partition("#")
    page = ROOT / link.page
    goal = (page.parent / name).resolve() if name else page
    if not goal.exists() or ROOT not in goal.parents:
        return f"there is no {name}"
    if link.page.startswith("docs/") and not goal.is_relative_to(ROOT / "docs"):
        return f"{name} is not on the site; it leads out of docs/"
    return None if not anchor or anchor in anchors(Path(goal)) else f"{name} has no heading #{anchor}"
