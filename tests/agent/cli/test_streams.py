"""Commands end well where a standard stream is closed, its reader is gone, or the locale has no UTF-8."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TASK = Path(__file__).parents[2] / "tasks" / "instant"
Sh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sh(cache: Path, tmp_path: Path) -> Sh:
    """Return a function that runs a line of bash in which $AGENT is the command."""

    def run(line: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AUTOCENTAUR_CACHE": str(cache)}
        environment |= {"AUTOCENTAUR_TRUST": "1", "LANG": "C.UTF-8", "AGENT": f"{sys.executable} -m agent", **extra}
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )

    return run


RUN = f"$AGENT run --task {TASK} --mode random --trials 1 --runs runs --name r"


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
def test_a_run_with_closed_streams_is_a_whole_run(sh: Sh, tmp_path: Path, closed: str) -> None:
    done = sh(f"{RUN} {closed}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert len((tmp_path / "runs/r/results.tsv").read_text().splitlines()) == 2
    assert all(line.startswith("{") for line in (tmp_path / "runs/r/journal.jsonl").read_text().splitlines())


@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&- <&-"])
def test_what_a_command_with_closed_streams_starts_has_the_null_device(sh: Sh, closed: str) -> None:
    start = "import subprocess as s; s.run(['sh', '-c', 'echo x && echo y >&2 && cat'], check=True)"
    done = sh(f'{sys.executable} -c "from agent.cli.main import open_missing_streams as o; o(); {start}" {closed}')
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [f"{RUN} 2>&1 | head -1", "$AGENT --help | true"])
def test_a_reader_that_goes_away_leaves_no_traceback(sh: Sh, line: str) -> None:
    done = sh(line)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_a_run_is_utf_8_whatever_the_locale(sh: Sh, tmp_path: Path, locale: dict[str, str]) -> None:
    done = sh(f"{RUN} && $AGENT log --runs runs && $AGENT report r --runs runs --out x.html", **locale)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/r/results.tsv").read_text(encoding="utf-8")
    assert "→" in (tmp_path / "x.html").read_text(encoding="utf-8")
