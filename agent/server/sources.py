"""Reads a script to submit from a file, a patch or a commit of any repository. Only the script is taken."""

from dataclasses import dataclass
from pathlib import Path

from agent.edits.replies import unified_diff
from agent.errors import EditError, RepoError, UnsafeFileError, UsageError
from agent.files import read_bytes
from agent.store.git_repo import TrialRepo
from agent.task.task import CONFIG_NAME, Task
from agent.text import one_line

MOST_BYTES = 2**20  # of a script or patch
_MOST_NAMED = 20  # files that are listed as not taken


@dataclass(frozen=True)
class ScriptSource:
    """A script, and where it comes from."""

    script: str
    name: str  # of the file, patch or commit, as text to show
    ignored: tuple[str, ...] = ()  # files that differ from the task's, or that it does not have


def script_in_file(path: Path) -> ScriptSource:
    """Return the script in a file. Raises UsageError if it cannot be read as UTF-8 text."""
    return ScriptSource(_read(path), str(path))


def script_of_patch(path: Path, source: str, script: str) -> ScriptSource:
    """Return `source` with the changes of a unified diff.

    Args:
        script: name of the script, the only file that the diff may change.

    Raises:
        UsageError: the patch cannot be read, or does not apply.
    """
    return ScriptSource(patched(_read(path), source, script), str(path))


def patched(patch: str, source: str, script: str) -> str:
    """Return `source` with the changes of a unified diff. Raises UsageError if it does not apply."""
    try:
        return unified_diff.parse(patch, script, source).apply(source)
    except EditError as fault:
        why = f"the patch does not apply to the incumbent's {script} ({one_line(str(fault))})"
        raise UsageError(f"{why}; make it from the script of `brief`") from None


def script_of_commit(name: str, task: Task) -> ScriptSource:
    """Return the script in a commit, and which of its other files differ from the task's.

    Args:
        name: REPO@REV. REPO is a folder in a git repository, REV a commit, branch or tag.

    Raises:
        UsageError: there is no such repository or commit, or it does not have the script in one place.
    """
    folder, at, revision = name.rpartition("@")
    if not at or not folder or not revision:
        raise UsageError(f"--commit {name}: write REPO@REV, for example ../autoresearch@main")
    try:
        repo = TrialRepo.containing(Path(folder))
        if repo is None:
            raise UsageError(f"--commit {name}: {folder} is not in a git repository; submit the file with --script")
        try:
            sha = repo.find(revision)
        except RepoError:
            problem = f"{folder} has no commit {revision!r}; name a branch, a tag or a hash"
            raise UsageError(f"--commit {name}: {problem}") from None
        files = repo.read(sha)
    except RepoError as error:
        raise UsageError(f"--commit {name}: {error}") from error
    base = _folder_of(task.script, list(files), name, _inside(repo, Path(folder)))
    inside = {path.removeprefix(base): content for path, content in files.items() if path.startswith(base)}
    others = [path for path in inside if path not in (task.script, CONFIG_NAME)]
    known = [path for path in others if path in task.files and inside[path] != task.files[path]]
    new = [path for path in others if path not in task.files and path.endswith(".py")]
    missing = [path for path in task.frozen if path not in inside]
    ignored = [*(f"{path} (differs)" for path in known), *(f"{path} (missing)" for path in missing)]
    ignored += [f"{path} (not in the task)" for path in new]
    if len(ignored) > _MOST_NAMED:
        ignored = [*ignored[:_MOST_NAMED], f"and {len(ignored) - _MOST_NAMED} more"]
    return ScriptSource(_text(inside[task.script], f"{task.script} of {name}"), f"{folder}@{sha[:12]}", tuple(ignored))


def _inside(repo: TrialRepo, folder: Path) -> str:
    """Return the path of a folder within the repository that it is in, with a slash at its end; empty for the top."""
    top, found = repo.path.parent, folder.resolve()
    return f"{found.relative_to(top)}/" if found != top and found.is_relative_to(top) else ""


def _folder_of(script: str, paths: list[str], name: str, inside: str) -> str:
    """Return the folder of the script in a commit, with a slash at its end; empty for the top.

    Args:
        inside: the folder that the user named, within the repository.
    """
    for folder in (inside, ""):
        if f"{folder}{script}" in paths:
            return folder
    found = [path.removesuffix(script) for path in paths if path.endswith(f"/{script}")]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} files called {script}, and none at its top" if found else f"no file called {script}"
    raise UsageError(f"--commit {name}: the commit has {what}; submit the file with --script")


def _read(path: Path) -> str:
    """Return the text of a file that the user names: a link to it will do. Raises UsageError if it cannot be read."""
    try:
        return _text(read_bytes(path.resolve(), MOST_BYTES), str(path))
    except UnsafeFileError:
        raise UsageError(f"{path} is no file of text of at most {MOST_BYTES // 2**20} MiB; give such a file") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text: {error}; save it as UTF-8") from error
