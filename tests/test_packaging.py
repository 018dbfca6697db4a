"""The wheel holds what it must and nothing else, and works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from agent.extras import EXTRAS
from tests.made_runs import BASELINE, made_run, scored, searched

ROOT = Path(__file__).parents[1]
OF_DEVELOPERS = {"bench", "frameworks", "docs", "dev"}  # extras for those who work on the program


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
    assert {f"agent/report/html/templates/charts.{kind}" for kind in ("css", "js")} <= set(names)
    vendored = ("README.md", "echarts/echarts.min.js", "echarts/LICENSE", "echarts/NOTICE", "echarts/LICENSE-d3")
    assert {f"agent/report/html/vendor/{name}" for name in vendored} <= set(names)
    assert {f"examples/digits/{name}" for name in ("task.toml", "train.py", "prepare.py", "score.py")} <= resources
    assert "agent/server/skill.md" in names
    assert not [name for name in names if "__pycache__" in name or "/data/" in name or name.endswith(".bin")]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_would_be_published_passes_the_checks_of_the_index(kind: str, wheel: Path, tmp_path: Path) -> None:
    built = [wheel]
    if kind == "sdist":
        command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
        built = list(tmp_path.glob("*.tar.gz"))
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("PASSED")) == (0, 1), done.stdout + done.stderr


def test_the_table_of_extras_is_that_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for_users = {name: lines for name, lines in declared.items() if name not in OF_DEVELOPERS}
    assert for_users.keys() == EXTRAS.keys()
    names = packages_distributions()
    for name, lines in for_users.items():
        wanted = {Requirement(line).name.lower() for line in lines}
        assert len(EXTRAS[name].modules) == len(wanted)
        for module in EXTRAS[name].modules:  # those that are installed here
            assert not names.get(module) or {dist.lower() for dist in names[module]} & wanted, module
    page = (ROOT / "docs" / "install.md").read_text()
    assert [row.name for row in EXTRAS.values() if f"| `{row.name}` | {row.needed_by} |" not in page] == []


def closure(wheel: Path, extra: str = "") -> set[str]:
    """Return the names of the distributions that the wheel needs with an extra, and those that they need."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        needed = message_from_bytes(archive.read(path)).get_all("Requires-Dist", [])
    todo, seen = [(Requirement(line), ["", extra]) for line in needed], set[str]()
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


def link(names: Iterable[str], packages: Path) -> None:
    """Fill a folder with links to the files of distributions that are installed here."""
    packages.mkdir(exist_ok=True)
    for name in names:
        held = distribution(name)
        for top in {file.parts[0] for file in held.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(held.locate_file(top))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and what it says it needs, all links to this environment's files."""
    place = tmp_path_factory.mktemp("plain") / "env"
    venv.create(place, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    link(closure(wheel), packages)
    return place


@pytest.mark.slow
def test_an_environment_with_what_the_wheel_needs_runs_the_command(plain: Path, tmp_path: Path) -> None:
    beside = [str(plain / "bin" / "python"), "-c", "import numpy, pytest"]
    output = subprocess.run(
        beside, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": os.defpath}
    ).stderr
    assert "No module named 'pytest'" in output  # what it does not need is not there
    runs_outside_the_checkout(plain, tmp_path)


def search(mode: str, *more: str) -> tuple[str, ...]:
    """Return the words of a search on the small task that ships, as `agent run` takes them."""
    return ("run", "--task", str(ROOT / "examples" / "digits"), "--trust", "--mode", mode, "--trials", "1", *more)


@pytest.mark.parametrize(
    ("extra", "argv"),
    [
        ("torch", ("run", "--mode", "random", "--trials", "1")),
        ("torch", ("compare", "--modes", "random,local", "--trials", "1")),
        ("torch", ("prepare",)),
        ("optuna", search("tpe")),
        ("optuna", search("optuna:CmaEsSampler")),
        ("report", ("report", "--png", "chart.png")),
        ("report", ("compare", "--png", "chart.png")),
        ("serve", ("serve",)),
        ("mcp", ("mcp", "--name", "r")),
        ("mlflow", search("random", "--track", "mlflow")),
        ("tensorboard", search("random", "--track", "tensorboard")),
        ("wandb", search("random", "--track", "wandb")),
        ("ray", search("random", "--on", "ray")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)  # fmt: skip
def test_what_a_plain_install_lacks_is_named_with_its_line_and_nothing_is_written(
    extra: str, argv: tuple[str, ...], plain: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(plain / "bin" / "agent"), *argv],
        cwd=tmp_path, env={"PATH": os.defpath, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert f"not installed: pip install 'autocentaur[{extra}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert ("--mode local-gp" in done.stderr) == (extra == "torch")  # the bundled task alone has something in its place
    assert not (tmp_path / "runs").exists()


def test_a_plain_install_writes_a_page_with_charts(plain: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE, *((searched(n / 30), scored(3 + n / 30)) for n in range(25))])
    done = subprocess.run(
        [str(plain / "bin" / "agent"), "report", "made"],
        cwd=tmp_path, env={"PATH": os.defpath, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "made.html").read_text(encoding="utf-8")
    assert 'data-chart="run-0-trials"' in page
    assert "needs the package optuna: pip install" in page


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_brings_its_modules_and_what_they_need(
    extra: str, wheel: Path, plain: Path, tmp_path: Path
) -> None:
    try:
        link(closure(wheel, extra) - closure(wheel), tmp_path / "packages")
    except PackageNotFoundError as missing:
        pytest.skip(f"{missing.name} is not installed here; the long test below installs it")
    modules = EXTRAS[extra].modules
    there = "print(*[name for name in EXTRAS if not missing_modules(name)])"
    asked = f"from agent.extras import EXTRAS, missing_modules; import {', '.join(modules)}; {there}"
    done = subprocess.run(
        [str(plain / "bin" / "python"), "-c", asked],
        cwd=tmp_path, env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "packages")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complete = {name for name, row in EXTRAS.items() if set(row.modules) <= set(modules)}
    complete |= {"serve"} if extra == "mcp" else set()  # the MCP SDK needs all that `serve` brings
    assert (set(done.stdout.split()), done.returncode) == (complete, 0), done.stderr


def interpreter(minor: int) -> str | None:
    """Return the program of that version of Python; None if this machine has none."""
    if minor == sys.version_info.minor:
        return sys.executable
    path = shutil.which(f"python3.{minor}")
    if path is None or subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode:
        return None
    return path


def installed(python: str, place: Path, what: str) -> Path:
    """Return a fresh environment with what pip installs."""
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), what], check=True, cwd=place)
    return place


@pytest.mark.long  # downloads it
@pytest.mark.parametrize(("minor", "extra"), [(11 + place % 4, extra) for place, extra in enumerate(EXTRAS)])
def test_pip_installs_an_extra_alone(minor: int, extra: str, wheel: Path, tmp_path: Path) -> None:
    place = installed(interpreter(minor) or sys.executable, tmp_path / "env", f"{wheel}[{extra}]")
    asked = f"import agent.cli.main, {', '.join(EXTRAS[extra].modules)}"
    subprocess.run([str(place / "bin" / "python"), "-c", asked], check=True, cwd=tmp_path)


@pytest.mark.long  # downloads what the host needs, and runs the whole demo
@pytest.mark.parametrize("minor", range(11, 15))
def test_the_demo_of_a_plain_install_needs_nothing_else(minor: int, wheel: Path, tmp_path: Path) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"this machine has no Python 3.{minor}")
    place = installed(python, tmp_path / "env", str(wheel))
    (tmp_path / "here").mkdir()
    done = subprocess.run(
        [str(place / "bin" / "agent"), "demo"],
        cwd=tmp_path / "here", env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all 8 trials are done" in done.stdout
    assert "agent init FOLDER" in done.stdout
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["runs"]


def runs_outside_the_checkout(place: Path, tmp_path: Path) -> None:
    agent = [str(place / "bin" / "agent")]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    output = subprocess.run(
        [*agent, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "Usage: agent" in output
    # The bundled task is found without a checkout: this gets as far as the model, which is an extra of its own.
    tried = subprocess.run(
        [*agent, "doctor", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert '"tiny-gpt, profile cpu' in tried.stdout
    assert list(tmp_path.glob("runs/*")) == []
