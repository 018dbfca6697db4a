"""The dependencies of a script: files and folders that it reads, places that it writes to, and the network."""

import ast
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from agent.task.init.local_modules import LocalModules
from agent.task.init.paths_in_source import FROM_TOP, path_of, paths, paths_by_name
from agent.task.init.python_file import Source
from agent.task.task_files import below, link_out

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

    frozen: dict[str, str] = field(default_factory=dict)  # files below the folder; folders end in a slash
    # Folders and files elsewhere (~ for the home folder, ../data above the folder), and those in the folder that are
    # too large for a copy in every trial, or are links that lead out of it.
    mounts: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # those of `mounts` that do not exist yet
    hidden: dict[str, str] = field(default_factory=dict)  # absolute paths that are different inside a sandbox
    written: dict[str, str] = field(default_factory=dict)  # paths beside the script that it writes to
    network: dict[str, str] = field(default_factory=dict)  # calls that load from the network
    uses_gpu: str | None = None  # where the script names cuda
    beside: str | None = None  # where a path is one as seen from the script's own folder, not from the top


def find_needs(folder: Path, script: Source, modules: LocalModules, words: Iterable[tuple[str, str]] = ()) -> Needs:
    """Return the dependencies of `script` and of the `modules` in its folder. Nothing runs; computed paths are missed.

    `words` are possible paths from elsewhere (arguments, a settings file), each with its place.
    """
    needs = Needs()
    sources = [script]
    for module, where in modules.sources():
        needs.frozen[module.name] = where
        sources.append(module)
    for package, where in modules.packages.items():  # a name may be imported by a text: `_target_: src.model.Net`
        if _is_small(folder / package):
            needs.frozen[f"{package}/"] = where
    read = dict(pair for word, where in words for pair in ((word, where), (word.partition("=")[2], where)))
    for source in sources:
        names = paths_by_name(source)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                _find_hub(needs, source, node)
                _find_outputs(needs, folder, source, node)
                if source is script:  # its modules, such as prepare.py, have functions that it never calls
                    _find_network(needs, source, node)
                    _find_writing(needs, source, node, names)
        for text, node in paths(source, names):
            read.setdefault(text, source.at(node))
            if text == "cuda" or text.startswith("cuda:"):
                needs.uses_gpu = needs.uses_gpu or source.at(node)
        if needs.uses_gpu is None:
            needs.uses_gpu = next((source.at(n) for n in ast.walk(source.tree) if _is_cuda(n)), None)
    for text, where in read.items():
        if text not in needs.written and text != script.name:
            _sort(needs, folder, script.name, text, where)
    _drop_inner(needs)
    return needs


def _sort(needs: Needs, folder: Path, script: str, text: str, where: str) -> None:
    """Record what a path in the script means for a trial."""
    clean = posixpath.normpath(text.removeprefix(FROM_TOP))
    if (
        clean.strip("./") == ""
        or clean in _NO_DATA
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
        elif not _lies_in(clean, (*_SYSTEM, *_OURS)) and _there(clean) and not _is_above_home(Path(clean)):
            needs.mounts.setdefault(clean, where)
    else:
        _sort_relative(needs, folder, script, text, where)


def _sort_relative(needs: Needs, folder: Path, script: str, text: str, where: str) -> None:
    """Record a relative path: as seen from the folder, where the script is started, or from the script's own folder."""
    clean = posixpath.normpath(text.removeprefix(FROM_TOP))
    if not text.startswith(FROM_TOP) and not _there(str(folder / clean)):
        from_script = posixpath.normpath(posixpath.join(posixpath.dirname(script), clean))
        if from_script != clean and _there(str(folder / from_script)):
            clean = from_script
            needs.beside = needs.beside or where
    if _there(str(folder / clean)):
        if clean != script:
            freeze(needs, folder, clean, where)
    elif clean.startswith("../") and "/" not in clean.replace("../", "") and _is_a_place_of_data(clean):
        needs.mounts.setdefault(clean, where)
        needs.missing.setdefault(clean, where)


def _is_a_place_of_data(path: str) -> bool:
    return any(word in posixpath.basename(path).lower() for word in ("data", "corpus", "cache"))


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path is one of the folders or inside one; /inputs is not inside /in."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def freeze(needs: Needs, folder: Path, name: str, where: str) -> None:
    """Record a path that exists: frozen, so copied into every trial, if it is small; else mounted, if it may be."""
    path = folder / name
    if link_out(folder, name) is None and _is_small(path):
        needs.frozen.setdefault(f"{name}/" if path.is_dir() else name, where)
    elif may_be_mounted(path):
        needs.mounts.setdefault(name, where)


def _is_small(path: Path) -> bool:
    """Return whether a file or folder can be copied into every trial; not if a link in it leads out of it."""
    files = [path] if path.is_file() else [path / name for name in islice(below(path, "."), MOST_FILES + 1)]
    top = path if path.is_dir() else path.parent
    return (
        len(files) <= MOST_FILES
        and all(link_out(top, file.relative_to(top).as_posix()) is None for file in files)
        and sum(file.stat().st_size for file in files if file.is_file()) <= MOST_BYTES
    )


def may_be_mounted(path: Path) -> bool:
    """Return whether trials may read a path, links resolved: no system folder, no keys, no home folder as a whole."""
    real = path.resolve()
    return not (
        _lies_in(str(real), (*_SYSTEM, *_OURS) if not _is_temporary(path) else _OURS)
        or not (_SECRETS | _ENVIRONMENTS).isdisjoint(real.parts)
        or _is_above_home(real)
    )


def _is_above_home(path: Path) -> bool:
    """Return whether a path is the home folder, a folder above one, or a top folder of the machine."""
    real = path.resolve()
    return Path.home().resolve().is_relative_to(real) or len(real.parts) < 3 or str(real.parent) == "/home"


def _is_temporary(path: Path) -> bool:
    """Return whether a folder of scripts itself lies below /tmp, so that what lies beside it may, too."""
    return _lies_in(str(path.absolute()), ("/tmp",)) and _lies_in(str(path.resolve()), ("/tmp",))


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
    path = path_of(target, source, names)
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


def _there(path: str) -> bool:
    """Return whether a path is a readable file or folder; not a socket, a device or a word too long for a name."""
    try:
        found = Path(path).expanduser()
        return found.is_file() or found.is_dir()
    except (OSError, RuntimeError):  # RuntimeError: `~5 minutes` names no user
        return False


def _drop_inner(needs: Needs) -> None:
    """Remove what is inside another mount, or in a folder that is frozen as a whole."""
    for path in [*needs.mounts]:
        if any(path.startswith(f"{other}/") for other in needs.mounts):
            del needs.mounts[path]
            needs.missing.pop(path, None)
    for name in [*needs.frozen]:
        folders = [*(each for each in needs.frozen if each.endswith("/")), *(f"{mount}/" for mount in needs.mounts)]
        if any(name.startswith(each) and name != each for each in folders):
            del needs.frozen[name]
