"""Files of others are those that their authors published, with their licences."""

import hashlib
import re
from pathlib import Path

from agent.report.html import page

VENDOR = Path(page.__file__).parent / "vendor"


def test_the_library_is_the_published_file_that_the_readme_names() -> None:
    about = (VENDOR / "README.md").read_text(encoding="utf-8")
    library = (VENDOR / "echarts" / "echarts.min.js").read_bytes()
    written = re.search(r"SHA-256 of the file: `([0-9a-f]{64})`", about)
    assert written is not None
    assert hashlib.sha256(library).hexdigest() == written[1]
    version = re.search(rb'\.version="([\d.]+)"[^"]*\.zrUtil', library)
    assert version is not None
    assert f"echarts-{version[1].decode()}.tgz" in about
    assert (VENDOR / "echarts" / "LICENSE").read_text(encoding="utf-8").strip().startswith("Apache License")
    assert "Apache ECharts" in (VENDOR / "echarts" / "NOTICE").read_text(encoding="utf-8")


def test_the_library_cannot_end_the_element_that_holds_it() -> None:
    library = (VENDOR / "echarts" / "echarts.min.js").read_text(encoding="utf-8").lower()
    assert "</script" not in library
    assert "<!--" not in library
