"""Checks of a cluster, each made by a job on one of its nodes: `agent doctor --on slurm`, `agent doctor --on ray`."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from agent.cli.checks.machine import DoctorFinding
from agent.errors import AgentError
from agent.execution.placement.places import open_place, place_named
from agent.execution.placement.placing import PlacingSandbox
from agent.execution.scoring.scoring_job import needs_of
from agent.execution.training_job import limits_of
from agent.store.paths import RunsFolder
from agent.task.task import Task
from sandbox.errors import JobLostError, NodeFailedError, SandboxError
from sandbox.job import Job, Mount
from sandbox.self_check import probe

_MOST_OFFSET_SECONDS = 2.0
_PREFIX, _OLD_SECONDS = ".doctor-", 86_400.0
_LOOK_AROUND = """
import glob, importlib.util, json, os, platform, sys, time
json.dump({
    "python": platform.python_version(),
    "missing": [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None],
    "gpus": len(glob.glob("/dev/nvidia[0-9]*")),
    "read": open("/data").read(),
    "niceness": os.nice(0),
    "at": time.time(),
}, open("/out/artifact", "w"))
"""


def examine_cluster(on: str, folder: Path, profile: str | None, runs: RunsFolder) -> Iterator[DoctorFinding]:
    """Yield what works on the nodes of a cluster, in the order in which a run needs it.

    Args:
        on: as in `agent run --on`.
        folder: of the task.
        runs: where runs would be; job folders are made there, since the nodes of some clusters must share it.

    Raises:
        UsageError: there is no such place.
    """
    row, _ = place_named(on)
    if row.open is None:
        return
    is_new, shares_folder = not runs.root.exists(), True
    try:
        task = Task.load(folder, profile)
        runs.root.mkdir(parents=True, exist_ok=True)
        with (
            _own_folder(runs.root) as place,
            closing(open_place(on, task, frozenset(), place / "jobs", lambda _line: None)) as sandbox,
        ):
            yield DoctorFinding(row.name, "ok", f"{on} accepts jobs with the limits of {task.name}")
            shares_folder = sandbox.shares_folder
            yield from _node(sandbox, task, place, row.gpu_remedy)
            for found in probe(sandbox):
                detail = "scoring jobs run from memory" if found.limit == "apart" and found.holds else found.detail
                verdict = "ok" if found.holds else "note" if found.limit == "apart" else "missing"
                yield DoctorFinding(f"node: {found.limit}", verdict, detail)  # type: ignore[arg-type]
    except NodeFailedError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield DoctorFinding("node", "missing", what or remedy, remedy if what else "look at that node")
    except JobLostError as error:
        remedy = f"is {runs.root} the same folder on the nodes? --runs names another; is this Python there too?"
        remedy = remedy if shares_folder else "is the node up? `ray status` shows the nodes"
        yield DoctorFinding("node", "missing", str(error), remedy)
    except (AgentError, SandboxError, OSError) as error:
        what, _, remedy = str(error).rpartition("; ")
        yield DoctorFinding(row.name, "missing", what or remedy, remedy if what else "")
    finally:
        if is_new:
            with suppress(OSError):
                runs.root.rmdir()


@contextmanager
def _own_folder(root: Path) -> Iterator[Path]:
    """Yield a new folder in `root`, which is removed at the end, with those that killed doctors have left.

    A doctor takes minutes; that one on another machine lives cannot be seen, but its folder is young.
    """
    for left in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if left.lstat().st_mtime < time.time() - _OLD_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))  # its mode is 0700
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)  # a file that a node still has open may stay: the next one removes it


def _node(sandbox: PlacingSandbox, task: Task, place: Path, gpu_remedy: str) -> Iterator[DoctorFinding]:
    """Yield what a job sees on a node: our files, the interpreter and its packages, the GPU, and the time."""
    shared, written = place / "shared", f"written here at {time.time_ns()}"
    shared.write_text(written, encoding="utf-8")
    shared.chmod(0o644)
    wanted, _ = needs_of((task.source.encode(), *task.files.values()), task.score.command)
    modules = [name for name in wanted if f"{name}.py" not in task.files]
    job = Job(
        ("python", "-c", _LOOK_AROUND, *modules),
        "doctor/node",
        limits_of(task),
        place / "log",
        place / "answer",
        mounts=(Mount(shared, "/data"),),
    )
    sent = time.time()
    execution = sandbox.run(job)
    received = time.time()
    if execution.exit_code != 0:
        printed = job.log.read_text(encoding="utf-8").strip()[-200:]
        yield DoctorFinding("node: python", "missing", f"the job ended by {execution.stopped_by}: {printed}")
        return
    seen = json.loads((place / "answer").read_bytes())
    both_ways = seen["read"] == written
    yield DoctorFinding(
        "node: shared files" if sandbox.shares_folder else "node: sent files",
        "ok" if both_ways else "missing",
        f"{place.parent} is {'shared' if sandbox.shares_folder else 'sent'} both ways"
        if both_ways
        else f"the node reads old content in {place.parent}",
        "" if both_ways else "another file system, --runs DIR, or a shorter attribute cache (actimeo of NFS)",
    )
    missing = ", ".join(seen["missing"])
    yield DoctorFinding(
        "node: python",
        "missing" if missing else "ok",
        f"{seen['python']} has no {missing}, which {task.name} imports"
        if missing
        else f"{seen['python']}, {execution.sandbox}",
        f"install it there, or name another interpreter: [environment] python in {task.folder}/task.toml"
        if missing
        else "",
    )
    if seen["niceness"] > 0:
        yield DoctorFinding(
            "node: priority",
            "note",
            f"jobs give way to all other programs there (niceness {seen['niceness']})",
            "start the node at niceness 0; for Ray: RAY_worker_niceness=0 ray start …",
        )
    yield _gpu(task, seen["gpus"], gpu_remedy)
    offset = max(0.0, sent - seen["at"], seen["at"] - received)
    is_off = offset > _MOST_OFFSET_SECONDS
    yield DoctorFinding(
        "node: clock",
        "note" if is_off else "ok",
        f"{offset:.1f} s off ours" if is_off else f"within {_MOST_OFFSET_SECONDS:g} s of ours",
        "times in a run are ours, so nothing breaks; synchronise the node with chrony" if is_off else "",
    )


def _gpu(task: Task, n_seen: int, remedy: str) -> DoctorFinding:
    if task.cluster.gpus and not n_seen:
        return DoctorFinding("node: gpu", "missing", "a job sees none", remedy)
    if task.cluster.gpus:
        return DoctorFinding("node: gpu", "ok", "a job sees its own and no other")
    return DoctorFinding("node: gpu", "note", "jobs ask for none", "for one each: gpus = 1 in [cluster] of task.toml")
