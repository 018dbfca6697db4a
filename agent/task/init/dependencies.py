"""The dependencies of a script: files and folders that it reads, places that it writes to, and the network."""

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.task.init.python_file import Source

MOST_BYTES = 16 * 2**20  # of all frozen files together; every trial's commit contains them
MOST_FILES = 200
_NO_DATA = {"", ".", "..", "/", "~", "runs", ".git", ".venv", "venv", "__pycache__"}
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc", "/sys", "/run", "/var/run", "/tmp", "/opt")
_ENVIRONMENTS = {".venv", "venv"}  # their files belong to an interpreter and are not data
_SECRETS = {".ssh", ".gnupg", ".aws", ".azure", "gcloud", ".docker", ".kube", ".netrc", ".git-credentials"}
_OURS = ("/task", "/data", "/out", "/in")
_WRITERS = {"makedirs", "savefig", "to_csv", "to_parquet", "save_pretrained", "SummaryWriter"}
_WRITERS_OF_PATHS = {"mkdir", "write_text", "write_bytes", "touch"}
_SAVERS = {"np.save", "np.savez", "np.savez_compressed", "numpy.save", "numpy.savez", "os.mkdir"}
_HUB_CALLS = {"load_dataset", "from_pretrained", "hf_hub_download", "snapshot_download", "get_kernel"}
_FETCHERS = {"requests.get", "urllib.request.urlopen", "wandb.init"}
_WRITE_MODES = {mode + more for mode in "wax" for more in ("", "b", "t", "+", "b+", "+b")}
HUB_CACHE = "~/.cache/huggingface"
_OF_OUTPUT = re.compile(
    r"^--?([a-zA-Z0-9]+[-_])*(out|output|outputs|save|result|results|checkpoint|checkpoints|ckpt|logdir)"
    r"([-_]?(dir|path|folder|file|to))?$"
)


@dataclass
class Needs:
    """The dependencies found, each with its place in the script or in a file that the script imports."""

    frozen: dict[str, str] = field(default_factory=dict)  # files below the folder
    mounts: dict[str, str] = field(default_factory=dict)  # folders elsewhere, ~ for the home folder
    missing: dict[str, str] = field(default_factory=dict)  # those of `mounts` that do not exist yet
    too_large: dict[str, str] = field(default_factory=dict)  # folders and files beside the script
    hidden: dict[str, str] = field(default_factory=dict)  # absolute paths that are different inside a sandbox
    written: dict[str, str] = field(default_factory=dict)  # paths beside the script that it writes to
    network: dict[str, str] = field(default_factory=dict)  # calls that load from the network
    uses_gpu: str | None = None  # where the script names cuda


def find_needs(
    folder: Path, script: Source, modules: Iterable[tuple[Source, str]], words: Iterable[tuple[str, str]] = ()
) -> Needs:
    """Return the dependencies of `script` and of the `modules` in its folder. Nothing runs; computed paths are missed.

    `words` are possible paths from elsewhere (arguments, a settings file), each with its place.
    """
    needs = Needs()
    sources = [script]
    for module, where in modules:
        needs.frozen[module.name] = where
        sources.append(module)
    read = dict(words)
    for source in sources:
        names = _paths_by_name(source.tree)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                _find_hub(needs, source, node)
                _find_outputs(needs, folder, source, node)
                if source is script:  # its modules, such as prepare.py, have functions that it never calls
                    _find_network(needs, source, node)
                    _find_writing(needs, source, node, names)
        for text, node in _paths(source.tree, names):
            read.setdefault(text, source.at(node))
            if text == "cuda" or text.startswith("cuda:"):
                needs.uses_gpu = needs.uses_gpu or source.at(node)
        if needs.uses_gpu is None:
            needs.uses_gpu = next((source.at(n) for n in ast.walk(source.tree) if _is_cuda(n)), None)
    for text, where in read.items():
        if text not in needs.written and text != script.name:
            _sort(needs, folder, text, where)
    _drop_inner(needs)
    return needs


def _sort(needs: Needs, folder: Path, text: str, where: str) -> None:
    """Record what a path in the script means for a trial."""
    clean = posixpath.normpath(text)
    if (
        clean in _NO_DATA
        or not (_SECRETS | _ENVIRONMENTS).isdisjoint(clean.split("/"))
        or "\n" in text
        or "\0" in text
        or len(text) > 300
    ):
        return
    if clean.startswith("~/"):
        if clean.count("/") == 1 and clean.startswith("~/."):
            return  # the whole of ~/.cache
        if _there(clean):
            needs.mounts.setdefault(clean, where)
        elif any(word in clean for word in ("cache", "data", "token", "corpus")):
            needs.mounts.setdefault(clean, where)
            needs.missing.setdefault(clean, where)
    elif clean.startswith("/"):
        if _lies_in(clean, _OURS) and clean.count("/") > 1:
            needs.hidden.setdefault(clean, where)
        elif not _lies_in(clean, (*_SYSTEM, *_OURS)) and clean.count("/") > 1 and _there(clean):
            needs.mounts.setdefault(clean, where)
    elif not clean.startswith("../") and _there(str(folder / clean)):
        _freeze(needs, folder, clean, where)


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path is one of the folders or inside one; /inputs is not inside /in."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _freeze(needs: Needs, folder: Path, name: str, where: str) -> None:
    path = folder / name
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc")
    inside = all(file.resolve().is_relative_to(folder.resolve()) for file in files)
    if not inside or len(files) > MOST_FILES or sum(file.stat().st_size for file in files) > MOST_BYTES:
        needs.too_large.setdefault(name, where)
        return
    for file in files:
        needs.frozen.setdefault(file.relative_to(folder).as_posix(), where)


def _find_writing(needs: Needs, source: Source, node: ast.Call, names: Mapping[str, str]) -> None:
    """Record a call that writes to a file or folder, unless that is certainly not beside the script."""
    called = ast.unparse(node.func)
    last = called.rpartition(".")[2]
    on = getattr(node.func, "value", node)  # Path(...).open("w")
    if last == "open" and _writes(node):
        target = node.args[0] if called in ("open", "io.open") and node.args else on
    elif called in ("torch.save", "joblib.dump"):
        target = node.args[1] if len(node.args) > 1 else on
    elif called in _SAVERS or last in _WRITERS:
        target = node.args[0] if node.args else on
    elif last in _WRITERS_OF_PATHS:
        target = on
    else:
        return
    path = _path(target, names)
    if path is None or not path.startswith(("/", "~")):
        needs.written.setdefault(path or ast.unparse(target), source.at(node))


def _find_outputs(needs: Needs, folder: Path, source: Source, node: ast.Call) -> None:
    """Record an option such as --out-dir whose default exists: output of earlier training, which no trial needs."""
    if getattr(node.func, "attr", None) not in ("add_argument", "option"):
        return
    flags = [flag.value for flag in node.args if isinstance(flag, ast.Constant) and isinstance(flag.value, str)]
    default = next((word.value for word in node.keywords if word.arg == "default"), None)
    if isinstance(default, ast.Constant) and any(_OF_OUTPUT.search(flag) for flag in flags):
        path = default.value
        if isinstance(path, str) and not path.startswith(("/", "~")) and _there(str(folder / path)):
            needs.written.setdefault(path, source.at(node))


def _find_hub(needs: Needs, source: Source, node: ast.Call) -> None:
    """Record a call that reads the Hugging Face cache, which is mounted if it exists."""
    called = ast.unparse(node.func)
    if called.rpartition(".")[2] in _HUB_CALLS:
        needs.network.setdefault(called, source.at(node))
        if _there(HUB_CACHE):
            needs.mounts.setdefault(HUB_CACHE, source.at(node))


def _find_network(needs: Needs, source: Source, node: ast.Call) -> None:
    called = ast.unparse(node.func)
    downloads = any(word.arg == "download" and getattr(word.value, "value", False) is True for word in node.keywords)
    if downloads or called.endswith("urlretrieve") or called in _FETCHERS:
        needs.network.setdefault(called, source.at(node))


def _writes(node: ast.Call) -> bool:
    modes = [*node.args[:2], *(word.value for word in node.keywords if word.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and mode.value in _WRITE_MODES for mode in modes)


def _is_cuda(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "cuda" and not ast.unparse(node).startswith("torch.cuda")


def _paths_by_name(tree: ast.Module) -> dict[str, str]:
    """Return the paths that a file assigns to names at module level, by name."""
    names: dict[str, str] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                text = _path(value, names)
                if text is not None:
                    names[name] = text
    return names


def _paths(tree: ast.Module, names: Mapping[str, str]) -> Iterator[tuple[str, ast.expr]]:
    """Yield each computable expression that could be a path, with the largest expression around it."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        text = _path(node, names) if isinstance(node, ast.expr) and not isinstance(node, ast.Name) else None
        if text is not None and isinstance(node, ast.expr):
            yield text, node
        elif not isinstance(node, ast.JoinedStr):
            todo += ast.iter_child_nodes(node)


def _path(node: ast.AST, names: Mapping[str, str]) -> str | None:  # noqa: PLR0911 (one return a kind of expression)
    """Return the path that an expression spells, with ~ for the home folder; None if it cannot be determined."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return names.get(name)
        case ast.Call(func=ast.Attribute(value=inner, attr="expanduser" | "resolve" | "absolute"), args=[]):
            return _path(inner, names)
        case ast.Call(func=ast.Attribute(attr="home"), args=[]):
            return "~"
        case ast.Call(func=func, args=[argument]) if ast.unparse(func).endswith(("expanduser", "abspath", "Path")):
            return _path(argument, names)
        case ast.Call(func=func, args=[_, default]) if ast.unparse(func) in ("os.environ.get", "os.getenv"):
            return _path(default, names)
        case ast.Call(func=func, args=[_, *_] as parts) if ast.unparse(func).endswith(
            ("path.join", "Path", "joinpath")
        ):
            return _joined([_path(part, names) for part in parts])
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([_path(left, names), _path(right, names)])
    return None


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return posixpath.join(*known) if known and len(known) == len(parts) else None


def _there(path: str) -> bool:
    """Return whether a path is a readable file or folder; not a socket, a device or a word too long for a name."""
    found = Path(path).expanduser()
    try:
        return found.is_file() or found.is_dir()
    except OSError:
        return False


def _drop_inner(needs: Needs) -> None:
    """Remove mounts that are inside another one."""
    for path in [*needs.mounts]:
        if any(path.startswith(f"{other}/") for other in needs.mounts):
            del needs.mounts[path]
            needs.missing.pop(path, None)
