"""The program inside the sandbox that notes what a script opens, and the reader of its notes.

Python loads it as `sitecustomize` before the script, and calls its audit hook (PEP 578) for each file that is opened.
Files that libraries open without Python are seen only if they are new at the end. The notes are as untrusted as the
script.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from agent.files import plain_file
from sandbox.job import HOST_NAME

FOLDER = "/observer"
"""Where the program is mounted; the first entry of PYTHONPATH."""
NOTES_VARIABLE = "AUTOCENTAUR_NOTES"
_MOST_BYTES = 2**20  # read of the notes
_OWN_HOSTS = frozenset({HOST_NAME, "localhost", "0.0.0.0", "::", "::1"})

PROGRAM = """
def _observe():
    import atexit, json, os, sys

    notes = os.environ.get("AUTOCENTAUR_NOTES")
    if not notes:
        return
    skipped = tuple({os.path.join(path, "") for path in (sys.prefix, sys.base_prefix, sys.exec_prefix)} |
                    {"/usr/", "/lib/", "/lib64/", "/etc/", "/proc/", "/sys/", "/dev/", "/observer/", "/out/",
                     "/tmp/compiled/"})
    start, known, output = os.getcwd(), set(), os.open(notes, os.O_WRONLY | os.O_APPEND)

    def note(kind, path):
        if (kind, path) not in known and len(known) < 2000:
            known.add((kind, path))
            os.write(output, (json.dumps([kind, path]) + "\\n").encode())

    def hook(event, args):
        try:
            if event == "open" and isinstance(args[0], (str, bytes)):
                path = os.path.abspath(os.fsdecode(args[0]))
                if path.startswith(skipped) or path == notes or "__pycache__" in path:
                    return
                if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                    note("written", path)
                else:
                    note("read" if os.path.exists(path) else "missing", path)
            elif event in ("os.mkdir", "sqlite3.connect") and isinstance(args[0], (str, bytes)):
                path = os.path.abspath(os.fsdecode(args[0]))
                if "__pycache__" not in path:
                    note("written", path)
            elif event == "socket.getaddrinfo" and args[0]:
                note("network", os.fsdecode(args[0]))
        except Exception:
            pass

    def files():
        found = set()
        for place, folders, names in os.walk(start):
            folders[:] = [name for name in folders if name != "__pycache__"]
            found.update(os.path.join(place, name) for name in names)
            if len(found) > 10000:
                break
        return found

    before, pid = files(), os.getpid()

    def end():
        if os.getpid() == pid:
            for path in sorted(files() - before)[:500]:
                note("written", path)

    atexit.register(end)
    sys.addaudithook(hook)
    sys.path[:] = [path for path in sys.path if path.rstrip("/") != "/observer"]
    sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize
    except ImportError:
        pass


_observe()
"""


@dataclass(frozen=True)
class FileNotes:
    """What a script opened, as paths inside the sandbox, in the order in which they were first opened."""

    read: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # opened for reading and not there
    written: tuple[str, ...] = ()
    network: tuple[str, ...] = ()  # hosts that it looked up, other than its own machine, which it can reach

    @classmethod
    def load(cls, path: Path) -> "FileNotes":
        """Read the notes; lines that are not ours are skipped. A path that was written before is not missing."""
        found: dict[str, dict[str, None]] = {"read": {}, "missing": {}, "written": {}, "network": {}}
        try:
            with plain_file(path).open("rb") as file:
                lines = file.read(_MOST_BYTES).splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                kind, text = json.loads(line)
            except (ValueError, TypeError, RecursionError):
                continue
            is_note = isinstance(kind, str) and isinstance(text, str) and kind in found
            if is_note and not (kind == "network" and (text in _OWN_HOSTS or text.startswith("127."))):
                found[kind].setdefault(text)
        made = found["written"]
        missing = [text for text in found["missing"] if text not in made]
        return cls(tuple(found["read"]), tuple(missing), tuple(made), tuple(found["network"]))
