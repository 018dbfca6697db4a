"""The files of this machine that a Python job needs, all of which are copied into memory, and no others.

Packages are included completely, according to their metadata: a job may look for a file without opening it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from sandbox.in_memory import elf
from sandbox.interpreter import Interpreter

_SMALL_PROGRAMS = (
    *("cat", "env", "ls", "rm", "sh", "true", "uname"),
    "docker-init",  # the engine puts it into /sbin, which is /usr/bin in some images, and there the copy covers it
)
_COMPILERS = (  # and other programs that torch.compile calls
    *("ar", "as", "c++", "cc", "clang", "clang++", "g++", "gcc", "ld", "ldd", "nm", "objcopy", "openssl", "strip"),
)
_LOADED_BY_NAME = (  # loaded at run time by programs and libraries whose ELF files do not name them
    *("libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libgomp.so.1", "libm.so.6", "libnss_dns.so.2", "libnss_files.so.2"),
    *("libpthread.so.0", "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1"),
)
_OF_A_GPU = re.compile(
    r"libcuda\.so|libnvidia-(ml|ptxjitcompiler|nvvm|gpucomp)"
)  # of the driver; this has not run with a GPU yet
_LINKED_AGAINST = re.compile(r"\w*crt\w*\.o|lib(c|dl|m|mvec|pthread|rt|util|gcc_s|gomp|stdc\+\+)(_nonshared)?\.(so|a)")
_NOT_OF_PYTHON = {"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "ensurepip", "tkinter"}
_NOT_OF_PACKAGES = {"tests"}
_COMPILED_WITH = {"include"}
_USED_UNDECLARED = {"torch": "numpy"}  # optional dependency that is used if it is installed

Keep = Callable[[Path], bool]


class Closure:
    """The files and symbolic links to copy, each to its own path in the copy."""

    def __init__(self, python: Interpreter) -> None:
        self.paths: dict[Path, None] = {}  # a set in the order of discovery
        self._python = python
        self._packages: set[str] = set()
        self._real: dict[Path, Path] = {}  # folder → its real path
        self._found: dict[Path, tuple[dict[str, Distribution], dict[str, list[str]]]] = {}
        self._compiler = False
        self._base()

    def add(self, modules: Sequence[str], *, compiler: bool = False) -> None:
        """Add the packages of `modules` with their dependencies and, if `compiler`, what torch.compile needs."""
        if compiler and not self._compiler:
            self._compiler = True
            self._add_compiler()
        modules = [*modules, *(_USED_UNDECLARED[module] for module in modules if module in _USED_UNDECLARED)]
        for folder in self._python.packages:
            installed, owned = self._installed(folder)
            for module in modules:
                owners = owned.get(module, ())
                for name in owners:
                    self._add_package(folder, name, installed, extras=True)  # it may use its optional dependencies
                if not owners:  # installed without metadata
                    self._add_tree(folder / module, lambda path: path.name not in _NOT_OF_PACKAGES)
                    for path in (folder / f"{module}.py", *folder.glob(f"{module}.*.so")):
                        self._add_file(path)

    def _installed(self, folder: Path) -> tuple[dict[str, Distribution], dict[str, list[str]]]:
        """Return the distributions in a folder of packages, by name, and the names of each module's owners."""
        if folder not in self._found:
            installed = {_plain(found.name): found for found in distributions(path=[str(folder)]) if found.name}
            owned: dict[str, list[str]] = {}
            for name, found in installed.items():
                for module in _modules(found):
                    owned.setdefault(module, []).append(name)
            self._found[folder] = installed, owned
        return self._found[folder]

    def _base(self) -> None:
        for program in _SMALL_PROGRAMS:
            self._add_program(program)
        for program in ("/usr/bin/prlimit", "/usr/bin/setpriv", "/sbin/ldconfig"):
            self._add_file(Path(program))
        for name in _LOADED_BY_NAME:
            self._add_library(name)
        for name in elf.system_libraries():
            if _OF_A_GPU.match(name):
                self._add_library(name)
        self._add_tree(Path("/usr/lib/locale/C.utf8"), lambda _: True)
        for folder in self._python.prefixes:
            for path in (folder / "pyvenv.cfg", folder / "lib64", *folder.glob("lib/libpython*.so*")):
                self._add_file(path)
            for path in folder.glob("bin/python*"):
                self._add_file(path)
        for folder in self._python.libraries:
            self._add_tree(folder, lambda path: path.name not in _NOT_OF_PYTHON and not path.name.startswith("config-"))
        self._add_start_files()
        self._add_file(self._python.executable)

    def _add_start_files(self) -> None:
        """Add the .pth files, and the modules that they import whenever Python starts."""
        for folder in self._python.packages:
            for path in folder.glob("*.pth"):
                self._add_file(path)
                for words in re.findall(
                    r"import\s+(\w+)|__import__\('(\w+)'\)", path.read_text(errors="replace", encoding="utf-8")
                ):
                    for module in filter(None, words):
                        self._add_tree(folder / module, lambda _: True)
                        self._add_file(folder / f"{module}.py")

    def _add_package(
        self, folder: Path, name: str, installed: dict[str, Distribution], *, extras: bool = False
    ) -> None:
        if name in self._packages or name not in installed:
            return
        self._packages.add(name)
        for file in installed[name].files or ():
            path = Path(os.path.normpath(folder / file))
            parts = set(file.parts)
            if parts & _NOT_OF_PACKAGES or path.suffix == ".a" or (parts & _COMPILED_WITH and not self._compiler):
                continue
            self._add_file(path)
            cached = path.parent / "__pycache__"
            if path.suffix == ".py":
                for compiled in cached.glob(f"{path.stem}.cpython-*.pyc"):
                    self._add_file(compiled)
        for required in installed[name].requires or ():
            match = re.match(r"[A-Za-z0-9._-]+", required)
            if match is not None and (extras or "extra ==" not in required):
                self._add_package(folder, _plain(match[0]), installed)

    def _add_compiler(self) -> None:
        for program in _COMPILERS:
            self._add_program(program)
        for tree in ("/usr/lib/gcc", "/usr/libexec/gcc", "/usr/include"):
            self._add_tree(Path(tree), lambda _: True)
        for folder in {path.parent for path in elf.system_libraries().values()}:
            for path in folder.iterdir():
                if _LINKED_AGAINST.fullmatch(path.name):
                    self._add_file(path)
        for folder in self._python.prefixes:
            self._add_tree(folder / "include", lambda _: True)

    def _add_program(self, name: str) -> None:
        for folder in ("/usr/bin", "/bin"):
            self._add_file(Path(folder, name))

    def _add_library(self, name: str) -> None:
        path = elf.system_libraries().get(name)
        if path is not None:
            self._add_file(path)

    def _add_tree(self, folder: Path, keep: Keep) -> None:
        for path in _walk(folder, keep):
            self._add_file(path)

    def _add_file(self, path: Path) -> None:
        """Add a file if it exists, the target of a symbolic link, and the libraries that the file names."""
        folder = path.parent
        if folder not in self._real:
            self._real[folder] = Path(os.path.realpath(folder))  # with a merged /usr, /bin/sh is in /usr/bin
        place = self._real[folder] / path.name
        if place in self.paths:
            return
        if place.is_symlink():
            self.paths[place] = None
            self._add_file(Path(os.path.normpath(place.parent / place.readlink())))
        elif place.is_file():
            self.paths[place] = None
            if (".so" in place.name or os.access(place, os.X_OK)) and os.access(place, os.R_OK):
                for name in elf.needed(place):
                    self._add_file(Path(name)) if name.startswith("/") else self._add_library(name)


def _walk(folder: Path, keep: Keep) -> Iterator[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if not keep(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, keep)
        else:
            yield path


def _modules(found: Distribution) -> set[str]:
    """Return the top-level modules and packages that a distribution installs."""
    tops = set((found.read_text("top_level.txt") or "").split())
    for file in found.files or ():
        first = file.parts[0]
        if len(file.parts) > 1 and first.isidentifier():
            tops.add(first)
        elif len(file.parts) == 1 and file.suffix in (".py", ".so"):
            tops.add(first.partition(".")[0])
    return tops


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
