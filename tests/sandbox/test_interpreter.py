"""Which folders of the host a job sees for the sake of its Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.in_memory.closure import Closure
from sandbox.interpreter import interpreter


def made_venv(folder: Path, *options: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(folder)], check=True)
    return folder / "bin" / "python"


def test_a_virtual_environment_and_its_base_are_shown_and_the_bases_packages_hidden(tmp_path: Path) -> None:
    found = interpreter(made_venv(tmp_path / "venv"))
    assert found.executable == tmp_path / "venv/bin/python"
    assert found.has_name
    assert tmp_path / "venv" in found.shown
    assert len(found.shown) >= 2
    assert any(path.name in ("site-packages", "dist-packages") for path in found.hidden)


def test_packages_of_the_base_are_shown_where_the_environment_uses_them(tmp_path: Path) -> None:
    assert interpreter(made_venv(tmp_path / "venv", "--system-site-packages")).hidden == ()


def test_an_environment_that_a_link_leads_to_runs_where_it_is_and_is_copied_there(tmp_path: Path) -> None:
    made_venv(tmp_path / "venv")
    (tmp_path / "link").symlink_to("venv")
    found = interpreter(tmp_path / "link/bin/python")
    assert found.executable == tmp_path / "venv/bin/python"
    assert found.executable in Closure(found).paths


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no /usr/bin/python3 here")
def test_of_a_system_python_no_documents_are_shown() -> None:
    found = interpreter(Path("/usr/bin/python3"))
    assert Path("/usr/lib") in found.shown
    assert Path("/usr") not in found.shown
    assert not any("share" in path.parts for path in found.shown)


def test_a_link_from_elsewhere_is_kept(tmp_path: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(base)
    found = interpreter(link)
    assert (link, str(base)) in found.links
