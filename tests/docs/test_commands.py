"""Every command in README.md and docs/ does what the page makes the reader expect: it runs, and ends well."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agent.cli.main import app
from tests.agent.llm.fake_server import FakeServer, fake_server
from tests.docs.obliging import ObligingModel
from tests.docs.pages import ROOT, Block, Span, blocks, spans
from tests.docs.place import Reader, prepare, simple_commands
from tests.docs.rules import NOT_RUN
from tests.kill_anywhere.killed_runs import Zygote

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# Options in the text that belong to other programs: git, pytest, model servers.
FOREIGN = {"--directory", "--recount", "--max-model-len", "--api-key", "--no-deps"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeServer]:
    with fake_server(ObligingModel()) as server:
        yield server


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, warm: Zygote, endpoint: FakeServer) -> Path:
    root = tmp_path_factory.mktemp("reader")
    prepare(root, warm.within(root / "home"), endpoint)
    return root


@pytest.fixture(scope="module")
def copied(prepared: Path, warm: Zygote, endpoint: FakeServer) -> Callable[[Path], Reader]:
    """Return a function that makes a copy of the folder, and a reader in it."""
    known: set[tuple[str, ...]] = set()

    return lambda folder: Reader(prepared, folder / "reader", warm.within(folder / "home"), endpoint, known)


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_of_commands_runs_as_it_stands(
    block: Block, copied: Callable[[Path], Reader], tmp_path: Path, endpoint: FakeServer
) -> None:
    reader = copied(tmp_path)
    typed = [(command, failure) for line in block.commands for command, failure in reader.type(line)]
    assert [f"{block}: {command}: {failure}" for command, failure in typed if failure is not None] == []
    # What the page says of an endpoint is what it is asked with.
    if (model := reader.exported.get("OPENAI_MODEL")) is not None:
        assert endpoint.requests[-1]["model"] == model
        assert endpoint.authorizations[-1] == f"Bearer {reader.exported.get('OPENAI_API_KEY', 'none')}"
        assert re.fullmatch(r"http://[\w.]+:\d+/v1", reader.exported.get("OPENAI_BASE_URL", "http://a:1/v1"))


def test_every_command_and_option_in_the_text_exists() -> None:
    faults = []
    for span in (*spans(), *(Span(block.page, block.line, line) for block in blocks() for line in block.commands)):
        for words in simple_commands(re.sub(r"[\[\]…]", " ", span.text) if "pip" not in span.text else span.text):
            faults += [f"{span.page}:{span.line}: {span.text!r}: {fault}" for fault in _faults(words)]
    assert faults == []


@pytest.mark.parametrize(
    "line", ["agent rum", "agent run --trails 5", "--trails 5", "make nothing", "python -m benchmarks.nothing",
             "python -m benchmarks.sandbox --runs DIR", "pip install -e '.[nothing]'", "pytest tests/nothing.py",
             "wget everything"],
)  # fmt: skip
def test_a_slip_in_the_text_is_found(line: str) -> None:
    assert [fault for words in simple_commands(line) for fault in _faults(words)]


def _faults(words: list[str]) -> list[str]:
    """Return what a command names that there is not."""
    options = [word.split("=")[0] for word in words if word.startswith("--") and word.strip("-")]
    program = words[0] if words else ""
    if program.startswith("--"):
        return _faults_of_options(options)
    if program in _FAULTS:
        return _FAULTS[program](words[1:], options)
    return [] if program in NOT_RUN else [f"tests/docs/rules.py does not know {program!r}"]


def _faults_of_agent(words: list[str], options: list[str]) -> list[str]:
    if not words or words[0] in ("--help", "--version", "--install-completion"):
        return []
    if words[0] not in COMMANDS:
        return [f"there is no `agent {words[0]}`"]
    if words[0] == "connect" and "--" in words:  # what follows are options of `agent mcp`
        served = words[words.index("--") + 1 :]
        return _faults_of_agent(["mcp"], [word for word in served if word.startswith("--")])
    return [f"there is no {option}" for option in options if option not in _options(COMMANDS[words[0]])]


def _faults_of_make(words: list[str], options: list[str]) -> list[str]:
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [f"there is no target {target}" for target in words if target not in known and "=" not in target]


def _faults_of_python(words: list[str], options: list[str]) -> list[str]:
    match words:
        case ["-m", module, *_] if module.startswith(("agent", "benchmarks")):
            spec = find_spec(module)
            path = Path(spec.origin or "") if spec else None
            if path is None:
                return [f"there is no {module}"]
            return _missing(options, [path, *(path.parent.glob("__main__.py") if path.stem == "__init__" else ())])
        case [script, *_] if script.endswith(".py"):
            return _missing(options, [ROOT / "train_template" / script])
    return []


def _faults_of_pip(words: list[str], options: list[str]) -> list[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"(?:\.|autocentaur)\[([\w,]+)\]", " ".join(words))
    return [f"there is no extra {extra}" for names in asked for extra in names.split(",") if extra not in extras]


def _faults_of_pytest(words: list[str], options: list[str]) -> list[str]:
    paths = [word.split("::")[0] for word in words if word.startswith("tests/")]
    return [f"there is no {path}" for path in paths if not (ROOT / path).exists()]


def _faults_of_options(options: list[str]) -> list[str]:
    known = {name for command in COMMANDS.values() for name in _options(command)} | FOREIGN
    return _missing([option for option in options if option not in known], (ROOT / "benchmarks").rglob("*.py"))


_FAULTS: dict[str, Callable[[list[str], list[str]], list[str]]] = {
    "agent": _faults_of_agent,
    "make": _faults_of_make,
    "python": _faults_of_python,
    "pip": _faults_of_pip,
    "pytest": _faults_of_pytest,
    **dict.fromkeys(("cd", "export", "git"), lambda words, options: []),
}


def _options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "-h",
        "--help",
    }


def _missing(options: list[str], sources: Iterable[Path]) -> list[str]:
    source = "".join(path.read_text() for path in sources)
    return [f"there is no {option}" for option in options if f'"{option}"' not in source]
