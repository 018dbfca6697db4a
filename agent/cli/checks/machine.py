"""Checks of what this machine can do, each made by doing it, with a remedy for whatever is missing."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agent.errors import AgentError, UsageError
from agent.execution.sandboxes import DEFAULT_SANDBOX, SANDBOXES, SandboxKind, open_sandbox
from agent.execution.scoring.scoring_job import needs_of
from agent.execution.speed.drift import SpeedReference
from agent.execution.speed.probe import SpeedProbe, has_canary
from agent.extras import install_line
from agent.report.terminal import sentences
from agent.resources import folder as shipped
from agent.store.paths import RunsFolder
from agent.task.corpus import find_corpus
from agent.task.host_commands.host_code import check_environment, is_own_interpreter
from agent.task.task import Task
from agent.trials.machine_speed import MachineSpeed
from sandbox.errors import SandboxError
from sandbox.self_check import probe

_MIN_FREE_GB = 2.0
_N_CANARIES = 5
_INDENT, _FEWEST_COLUMNS = 27, 20  # of the texts about a finding

Verdict = Literal["ok", "note", "missing"]  # note: it works with a restriction, or nothing that was chosen needs it


@dataclass(frozen=True)
class DoctorFinding:
    """One check: its subject, its result, and the remedy."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(folder: Path, profile: str | None, cache: Path, runs: RunsFolder) -> list[DoctorFinding]:
    """Return the findings about this machine and a task, in the order in which a run needs what they check."""
    findings = [_system(), _python(), _git(), _disk(runs)]
    task = _task(folder, profile, findings)
    if task is not None:
        first, *others = sorted(SANDBOXES.values(), key=lambda kind: kind.name != DEFAULT_SANDBOX)
        findings += [*_sandbox(first, task), *_speed(task), _script_environment(task), _data(task, cache)]
        findings.append(_early_stopping(task))
        findings += [finding for kind in others for finding in _sandbox(kind, task)]
    return [*findings, _gpu()]


def rendered(findings: list[DoctorFinding], colour: bool, columns: int | None = None) -> str:
    """Return the findings as lines, wrapped for a terminal of so many columns; None: not wrapped."""
    marks = {"ok": ("ok", "32"), "note": ("note", "33"), "missing": ("MISSING", "31")}
    lines, room = [], None if columns is None else max(columns - _INDENT, _FEWEST_COLUMNS)
    below = f"\n{'':{_INDENT}}"
    for finding in findings:
        mark, code = marks[finding.verdict]
        shown = f"\x1b[{code}m{mark:7}\x1b[0m" if colour else f"{mark:7}"
        lines.append(f"{shown} {finding.what:18} {below.join(sentences([finding.detail], room))}")
        if finding.remedy:
            lines.append(f"{'':{_INDENT}}{below.join(sentences([f'→ {finding.remedy}'], room))}")
    return "\n".join(lines)


def _system() -> DoctorFinding:
    if sys.platform == "linux":
        return DoctorFinding("system", "ok", platform.platform())
    portable = next(kind for kind in SANDBOXES.values() if kind.owns_image)
    detail = f"{platform.system()}: only --sandbox {portable.name} can work here"
    return DoctorFinding("system", "note", detail, f"install {portable.needs}")


def _python() -> DoctorFinding:
    return DoctorFinding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _git() -> DoctorFinding:
    program = shutil.which("git")
    if program is None:
        return DoctorFinding("git", "missing", "no git program on the PATH", "apt install git")
    version = subprocess.run(
        [program, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False
    ).stdout.strip()
    return DoctorFinding("git", "ok", version)


def _disk(runs: RunsFolder) -> DoctorFinding:
    place = next(p for p in (runs.root.resolve(), *runs.root.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    if free < _MIN_FREE_GB:
        return DoctorFinding(
            "disk", "missing", f"{free:.1f} GiB free at {place}", "make room, or give another --runs DIR"
        )
    return DoctorFinding("disk", "ok", f"{free:.0f} GiB free at {place}")


def _task(folder: Path, profile: str | None, findings: list[DoctorFinding]) -> Task | None:
    try:
        task = Task.load(folder, profile)
    except AgentError as error:
        findings.append(DoctorFinding("task", "missing", str(error), "correct the task, then run `agent doctor` again"))
        return None
    try:
        check_environment(task)
    except UsageError as error:
        findings.append(DoctorFinding("task", "missing", str(error), "the checks that need the task were left out"))
        return None
    others = ", ".join(task.profiles) or "none"
    findings.append(DoctorFinding("task", "ok", f"{task.name}, profile {task.profile or 'none'} (of: {others})"))
    return task


def _sandbox(kind: SandboxKind, task: Task) -> Iterator[DoctorFinding]:
    """Yield whether the sandbox enforces each limit, found out by small jobs that try to break it.

    Only the default sandbox must work.
    """
    is_default, option = kind.name == DEFAULT_SANDBOX, f"--sandbox {kind.name}"
    fault: Verdict = "missing" if is_default else "note"
    name = "sandbox" if is_default else kind.name
    try:
        kind.find()
    except SandboxError as error:
        yield DoctorFinding(name, fault, f"only needed for {option}", str(error))
        return
    try:
        sandbox = open_sandbox(kind.name, task, say=lambda _line: None, is_check=True)
        try:
            sources = (task.source.encode(), *task.files.values())
            imports, compiles = ((), False) if kind.owns_image else needs_of(sources, task.score.command)
            for found in probe(sandbox, imports, compiles=compiles):
                verdict: Verdict = "ok" if found.holds else "note" if found.limit == "apart" else "missing"
                yield DoctorFinding(f"{'limit' if is_default else kind.name}: {found.limit}", verdict, found.detail)
        finally:
            sandbox.close()
    except (SandboxError, AgentError) as error:
        yield DoctorFinding(name, fault, f"{option} needs {kind.needs}, and does not work", str(error))


def _speed(task: Task) -> Iterator[DoctorFinding]:
    """Yield how precisely this machine's speed can be measured, if the task's budget depends on it."""
    if not has_canary(task):
        return
    try:
        sandbox = open_sandbox(DEFAULT_SANDBOX, task)
        try:
            with tempfile.TemporaryDirectory(prefix="canary-") as folder:
                canary = SpeedProbe(task, sandbox, Path(folder), label="doctor", on_gpu=False, passed_on={})
                speeds = tuple(canary.measure().speed for _ in range(_N_CANARIES))
        finally:
            sandbox.close()
    except (SandboxError, AgentError) as error:
        yield DoctorFinding("machine's speed", "missing", str(error))
        return
    reference = SpeedReference.of(MachineSpeed(speeds=speeds))
    void = reference.threshold(task.machine.void)
    detail = f"{_N_CANARIES} canaries on the CPU: ± {reference.noise:.1%}; a trial is void beyond ± {void:.1%}"
    if void > task.machine.void:
        better = "stop other work, or count the budget in steps or work: seconds of a busy CPU are not comparable"
        yield DoctorFinding("machine's speed", "note", detail, better)
    else:
        yield DoctorFinding("machine's speed", "ok", detail)


def _script_environment(task: Task) -> DoctorFinding:
    """Return whether the script's interpreter has torch, if the script imports it."""
    if "import torch" not in task.source:
        return DoctorFinding("script's python", "ok", "the script does not use torch")
    python = task.environment.python or sys.executable
    code = "import importlib.metadata as m; print(m.version('torch'))"
    done = subprocess.run(
        [python, "-I", "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        remedy = install_line("torch") if is_own_interpreter(python) else f"{python} -m pip install torch"
        is_bundled = task.folder.resolve() == shipped("train_template").resolve()
        verdict: Verdict = "note" if is_bundled else "missing"  # a user's own task may do without
        return DoctorFinding("script's python", verdict, f"{python} has no torch, which {task.name} needs", remedy)
    return DoctorFinding("script's python", "ok", f"torch {done.stdout.strip()}")


def _data(task: Task, cache: Path) -> DoctorFinding:
    try:
        corpus = find_corpus(task, cache)
    except AgentError as error:
        return DoctorFinding("data", "missing", str(error))
    if corpus is None:
        return DoctorFinding("data", "note", "not prepared yet", "nothing to do: the first `agent run` prepares it")
    return DoctorFinding("data", "ok", f"{corpus.sequences('val').shape[0]} validation sequences in {corpus.folder}")


def _early_stopping(task: Task) -> DoctorFinding:
    """Return whether trials can be stopped early. Only a baseline run shows whether the script prints its loss so."""
    if task.curve is None:
        remedy = "declare in [curve] of task.toml how the script prints its loss: docs/keep-rule.md"
        return DoctorFinding("early stopping", "note", "off: the task declares no curve", remedy)
    detail = f"by the printed loss; edits of these names are never pruned: {', '.join(task.curve.exempt) or 'none'}"
    return DoctorFinding("early stopping", "ok", detail)


def _gpu() -> DoctorFinding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return DoctorFinding("gpu", "note", "no NVIDIA driver found", "not needed: the cpu profile is the default")
    query = [program, "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        return DoctorFinding(
            "gpu", "note", f"nvidia-smi fails: {done.stdout.strip()[:90]}", "reinstall the NVIDIA driver"
        )
    return DoctorFinding("gpu", "ok", "; ".join(done.stdout.strip().splitlines()))
