"""The wheel holds what it must and nothing else, and works where there is no checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
    assert {
        f"train_template/{name}" for name in ("task.toml", "packages.py", "prepare.py", "pool.py", "score.py")
    } <= resources
    assert {f"agent/report/html/templates/report.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert "agent/server/skill.md" in names
    assert not [name for name in names if "__pycache__" in name or "/data/" in name or name.endswith(".bin")]


def closure(wheel: Path) -> set[str]:
    """Return the names of the distributions that the wheel needs, and those that they need, no extras."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        needed = message_from_bytes(archive.read(path)).get_all("Requires-Dist", [])
    todo, seen = [(Requirement(line), [""]) for line in needed], set[str]()
    names = set[str]()
    while todo:
        requirement, extras = todo.pop()
        marker = requirement.marker
        if str(requirement) in seen or (marker and not any(marker.evaluate({"extra": extra}) for extra in extras)):
            continue
        seen.add(str(requirement))
        names.add(requirement.name)
        lines = distribution(requirement.name).requires or []
        todo += [(Requirement(line), ["", *requirement.extras]) for line in lines]
    return names


def install(wheel: Path, place: Path) -> None:
    """Make an environment that holds the wheel and what it says it needs, all links to this environment's files."""
    venv.create(place, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for name in closure(wheel):
        held = distribution(name)
        for top in {file.parts[0] for file in held.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(held.locate_file(top))  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_environment_with_what_the_wheel_needs_runs_the_command(wheel: Path, tmp_path: Path) -> None:
    install(wheel, tmp_path / "env")
    beside = [str(tmp_path / "env" / "bin" / "python"), "-c", "import numpy, pytest"]
    said = subprocess.run(
        beside, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": os.defpath}
    ).stderr
    assert "No module named 'pytest'" in said  # what it does not need is not there
    runs_outside_the_checkout(tmp_path / "env", tmp_path)


@pytest.mark.long  # downloads and unpacks all of PyTorch
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
    runs_outside_the_checkout(place, tmp_path)


def runs_outside_the_checkout(place: Path, tmp_path: Path) -> None:
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
