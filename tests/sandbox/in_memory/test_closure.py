"""Which files are copied: packages whole, with what they require, and every library that a program names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.in_memory import elf
from sandbox.in_memory import runtime as runtime_module
from sandbox.in_memory.closure import Closure
from sandbox.in_memory.runtime import READS, Runtime
from sandbox.interpreter import Interpreter, interpreter, own_interpreter


def environment(folder: Path) -> Interpreter:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return interpreter(folder / "bin" / "python")


def install(python: Interpreter, name: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> Path:
    """Put a distribution into an environment, as an installer does."""
    folder = python.packages[0]
    metadata = f"{name}-1.0.dist-info"
    lines = "".join(f"Requires-Dist: {required}\n" for required in requires)
    every = {**files, f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}"}
    every[f"{metadata}/RECORD"] = "".join(f"{path},,\n" for path in every)
    for path, text in every.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def below(closure: Closure, folder: Path) -> set[str]:
    real = Path(os.path.realpath(folder))
    return {str(path.relative_to(real)) for path in closure.paths if path.is_relative_to(real)}


def test_a_package_comes_whole_with_what_it_requires_and_others_do_not(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    folder = install(
        python,
        "My-Package",
        {
            "mine/__init__.py": "",
            "mine/data/table.csv": "1",
            "mine/tests/test_x.py": "",
            "mine/libx.a": "",
            "mine/bin/y": "",
        },
        requires=("Other_One>=1; python_version > '3'", 'optional; extra == "more"', "not-installed"),
    )
    install(python, "other.one", {"other.py": ""}, requires=("third", 'unwanted; extra == "x"'))
    install(python, "third", {"third/__init__.py": ""})
    install(python, "optional", {"optional.py": ""})
    for name in ("unwanted", "stranger"):
        install(python, name, {f"{name}.py": ""})
    (folder / "loose.py").write_text("")
    closure = Closure(python)
    closure.add(["mine", "loose", "nowhere"])
    files = below(closure, folder)
    assert {"mine/__init__.py", "mine/data/table.csv", "mine/bin/y", "other.py", "third/__init__.py"} <= files
    assert {"optional.py", "loose.py", "My-Package-1.0.dist-info/METADATA"} <= files
    assert not {name for name in files if "tests" in name or name.endswith(".a")}
    assert not {"unwanted.py", "stranger.py"} & files


def test_what_torch_uses_without_requiring_it_comes_with_it(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    folder = install(python, "torch", {"torch/__init__.py": ""})
    install(python, "numpy", {"numpy/__init__.py": ""})
    closure = Closure(python)
    closure.add(["torch"])
    assert {"torch/__init__.py", "numpy/__init__.py"} <= below(closure, folder)


def test_what_starts_with_python_is_there(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    folder = install(python, "hook", {"hooked/__init__.py": ""})
    (folder / "a.pth").write_text("import os; __import__('hooked')\n")
    assert {"a.pth", "hooked/__init__.py"} <= below(Closure(python), folder)


def test_programs_come_with_their_loader_and_libraries() -> None:
    paths = {os.path.realpath(path) for path in Closure(interpreter(own_interpreter())).paths}
    for program in ("/usr/bin/env", "/usr/bin/setpriv", "/bin/sh", sys.executable):
        named = elf.needed(Path(os.path.realpath(program)))
        assert named, program
        for name in named:
            place = name if name.startswith("/") else str(elf.system_libraries().get(name, ""))
            assert not place or os.path.realpath(place) in paths


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + b"\xff" * 200])
def test_files_that_name_no_libraries_name_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert elf.needed(tmp_path / "file") == ()


def test_a_copy_grows_with_what_jobs_need_and_keeps_times_and_modes(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    folder = install(python, "first", {"first.py": "x = 1"})
    install(python, "second", {"second.py": "x = 2"})
    os.utime(folder / "first.py", (1, 1_000_000_000))
    runtime = Runtime(python)
    try:
        copy = runtime.with_packages(["first"], compiler=False)
        at = copy / os.path.realpath(folder).lstrip("/")
        assert (at / "first.py").stat().st_mtime == 1_000_000_000
        assert (at / "first.py").stat().st_mode == (folder / "first.py").stat().st_mode
        assert not (at / "second.py").exists()
        before = runtime.n_bytes
        assert runtime.with_packages(["second"], compiler=False) == copy
        assert (at / "second.py").read_text() == "x = 2"
        assert runtime.n_bytes > before
    finally:
        runtime.close()
    assert not copy.exists()


@pytest.mark.parametrize(("for_one_job", "n_reads"), [(False, READS), (True, 0)])
def test_only_a_copy_for_several_jobs_is_read_so_that_reads_by_jobs_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, for_one_job: bool, n_reads: int
) -> None:
    python = environment(tmp_path / "venv")
    install(python, "first", {"first.py": "x = 1"})
    opened: list[str] = []
    real = runtime_module._read

    def read(path: Path) -> None:
        opened.append(path.name)
        real(path)

    monkeypatch.setattr(runtime_module, "_read", read)
    runtime = Runtime(python, for_one_job=for_one_job)
    try:
        copy = runtime.with_packages(["first"], compiler=False)
        assert list(copy.rglob("first.py"))
    finally:
        runtime.close()
    assert opened.count("first.py") == n_reads


def test_a_forked_process_uses_the_copy_until_it_needs_files_that_are_not_in_it(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    install(python, "first", {"first.py": "x = 1"})
    install(python, "second", {"second.py": "x = 2"})
    runtime = Runtime(python)
    try:
        copy = runtime.with_packages(["first"], compiler=False)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                copies = [runtime.with_packages(names, compiler=False) for names in (["first", "a_script"], ["second"])]
                os.write(writer, "\n".join(map(str, copies)).encode())
                runtime.close()
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as output:
            same, own = map(Path, output.read().split())
        os.waitpid(child, 0)
        assert same == copy != own
        assert copy.exists()
        assert not own.exists()
    finally:
        runtime.close()


def test_a_program_that_ends_without_closing_leaves_no_copy(tmp_path: Path) -> None:
    environment(tmp_path / "venv")
    program = f"""
from pathlib import Path
from sandbox.in_memory.runtime import Runtime
from sandbox.interpreter import interpreter
runtime = Runtime(interpreter(Path({str(tmp_path / "venv/bin/python")!r})))
print(runtime.with_packages([], compiler=False))
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", program]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert ran.stdout.strip()
    assert not Path(ran.stdout.strip()).parent.exists()
