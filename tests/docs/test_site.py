"""The site builds without a warning, holds every page, and loads nothing from anywhere else."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", root / "docs")
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, root)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return root / "site"


def test_every_page_is_on_the_site_and_in_its_contents(site: Path) -> None:
    listed = re.findall(r"[\w/-]+\.md", str(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(map(str, pages)), "a page of docs/ must stand in the nav of mkdocs.yml, once"
    assert [page for page in pages if not (site / page.with_suffix(".html")).exists()] == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"[^>]*>')
    style = re.compile(r"(?:@import|url\()\s*['\"]?(?:https?:)?//")
    found = {page.name: loading.findall(page.read_text()) for page in site.rglob("*.html")}
    assert {name: tags for name, tags in found.items() if tags} == {}
    assert [sheet.name for sheet in site.rglob("*.css") if style.search(sheet.read_text())] == []
