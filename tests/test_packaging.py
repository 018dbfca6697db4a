"""The wheel holds what it must and nothing else, and works where there is no checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_two_packages_the_prompts_and_the_bundled_task(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"agent", "sandbox"}
    resources = {name.removeprefix("agent/_resources/") for name in names if name.startswith("agent/_resources/")}
    assert {"prompts/centaur/user.md", "prompts/code_edit/user.md", "train_template/train.py"} <= resources
    assert {f"train_template/{name}" for name in ("task.toml", "prepare.py", "score.py")} <= resources
    assert {f"agent/report/html/templates/report.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/data/" in name or name.endswith(".bin")]


def test_an_empty_environment_outside_the_checkout_runs_the_command(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "env"
    venv.create(place, with_pip=True)
    pip = [
        str(place / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, cwd=tmp_path)
    agent = [str(place / "bin" / "agent")]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    said = subprocess.run(
        [*agent, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "Usage: agent" in said
    # The bundled task is found without a checkout: this gets as far as the model, which is an extra of its own.
    tried = subprocess.run(
        [*agent, "doctor", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert '"tiny-gpt, profile cpu' in tried.stdout
    assert list(tmp_path.glob("runs/*")) == []
