"""A trial on record: what is needed to run it again, from the journal, or from its commit alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.conditions import NAMES
from agent.curve import Condemned
from agent.errors import NotReplayableError, UsageError
from agent.machine import Machine
from agent.record import one_line
from agent.repeat import Purpose
from agent.repo import TrialRepo, trailers
from agent.report.stored_run import StoredRun
from agent.task import Task
from agent.trial import Outcome, Status


@dataclass(frozen=True)
class Recorded:
    """One trial as it was committed, and what it came to."""

    run_id: str
    number: int
    commit: str  # full hash
    files: Mapping[str, bytes]  # the commit's tree
    profile: str | None
    train_seed: int
    outcome: Outcome  # from a commit alone: without what the trailers do not tell
    baseline: Outcome | None  # of trial 0, which some limits follow; None for trial 0 itself
    decided: bool = False  # the incumbent moved, or more: then the score is audited as closely again
    sigma: float | None = None  # what the run knew of its noise; None: task.toml may know

    @property
    def name(self) -> str:
        return f"{self.run_id}/{self.number}"

    @property
    def sandbox_kind(self) -> str:
        return "docker" if self.outcome.sandbox.startswith("docker ") else "bubblewrap"

    def task(self, folder: Path) -> Task:
        """Return the task with this trial's files; `folder` is where what is not committed may be found."""
        return Task(folder, self.files, self.profile, as_is=True)


def from_journal(stored: StoredRun, number: int, seed: int | None = None) -> Recorded:
    """Return a trial of a run that lies here; what it came to under `seed`, if the run has repeated it with that one.

    Raises:
        UsageError: it has not finished, or never ran.
    """
    trial = stored.trial(number)
    if trial.outcome is None or not {0, number} <= stored.hashes.keys():
        raise UsageError(f"{stored.run_id}/{number} has not finished; `agent log {stored.run_id}` lists the trials")
    _refuse_unless_ran(f"{stored.run_id}/{number}", trial.outcome)
    train_seed, outcome, decided = trial.proposal.train_seed, trial.outcome, trial.kept
    for repeat in stored.history.repeats:
        is_whole = repeat.purpose is not Purpose.SLOPE
        if repeat.trial == number and repeat.seed == seed and repeat.outcome is not None and is_whole:
            train_seed, outcome, decided = repeat.seed, repeat.outcome, True
    first = stored.trial(0)
    commit = stored.hashes[number]
    recorded = Recorded(
        run_id=stored.run_id,
        number=number,
        commit=commit,
        files=stored.repo.read(commit),
        profile=stored.config.profile,
        train_seed=train_seed,
        outcome=outcome,
        baseline=first.outcome if number else None,
        decided=decided,
        sigma=stored.config.noise_sigma,
    )
    _refuse_other_task(recorded, stored.repo.read(stored.hashes[0]), stored.config.task_digest)
    return recorded


def from_commit(repo: TrialRepo, revision: str) -> Recorded:
    """Return a trial of which there is nothing but its commit and those before it, as in a clone of `trials.git`.

    Raises:
        RepoError: there is no such commit.
        UsageError: `agent run` did not make it, or it never ran.
        NotReplayableError: it is made to write outside of the folder that it is exported to, or of another task.
    """
    commit = repo.find(revision)
    facts = {key: one_line(value) for key, value in trailers(repo.message(commit)).items()}
    missing = [name for name in ("Run", "Trial", "Status", "Seed", "Task") if name not in facts]
    if missing:
        raise UsageError(
            f"commit {commit[:7]} in {repo.path} is no trial: it has no trailer {missing[0]!r}; "
            "give the hash of a commit that `agent run` made"
        )
    name = f"{facts['Run']}/{facts['Trial']}"
    if facts.get("Kept") == "minimal":  # until 2026-11-22
        raise UsageError(
            f"commit {commit[:7]} is no trial but the minimal script of {name}, as an earlier version committed it; "
            f"`agent attribute {facts['Run']}` writes it to a file"
        )
    try:
        outcome, number, seed = _outcome(facts), int(facts["Trial"]), int(facts["Seed"])
    except ValueError as error:
        raise UsageError(f"the trailers of {name} cannot be read ({error}); clone the repository again") from error
    _refuse_unless_ran(name, outcome)
    root = repo.chain(commit)[0]
    files = repo.read(commit)
    outside = [path for path in files if path.startswith("/") or ".." in PurePosixPath(path).parts]
    if outside:  # git stores such a tree, though it would not check it out
        raise NotReplayableError(
            f"commit {commit[:7]} holds a file {outside[0]!r}, outside of its folder: it is an attack"
        )
    recorded = Recorded(
        run_id=facts["Run"],
        number=number,
        commit=commit,
        files=files,
        profile=facts.get("Profile"),
        train_seed=seed,
        outcome=outcome,
        baseline=_outcome(trailers(repo.message(root))) if number else None,
        decided=outcome.kept,
    )
    _refuse_other_task(recorded, repo.read(root), facts["Task"].rpartition(" ")[2])
    return recorded


def _outcome(facts: Mapping[str, str]) -> Outcome:
    """Return what a commit's trailers tell of its outcome. Raises ValueError."""
    return Outcome(
        status=Status(facts["Status"]),
        val_loss=float(facts["Val-Loss"]) if "Val-Loss" in facts else None,
        kept=facts.get("Kept", "no") != "no",
        wall_seconds=float(facts.get("Wall-Seconds", 0.0)),
        cpu_seconds=float(facts["Cpu-Seconds"]) if "Cpu-Seconds" in facts else None,
        stopped_at=float(facts["Stopped-At"]) if "Stopped-At" in facts else None,
        condemned=Condemned.read(facts["Condemned"]) if "Condemned" in facts else None,
        sandbox=facts.get("Image", ""),
        machine=Machine(raw_loss=float(facts["Raw-Loss"])) if "Raw-Loss" in facts else None,
        conditions={name: facts[name.capitalize()] for name in NAMES if name.capitalize() in facts},
    )


def _refuse_unless_ran(name: str, outcome: Outcome) -> None:
    if not outcome.status.ran:
        raise UsageError(f"{name} never ran ({outcome.status}), so there is nothing to replay; choose another trial")


def _refuse_other_task(recorded: Recorded, baseline: Mapping[str, bytes], digest: str) -> None:
    """Raise NotReplayableError unless task.toml and the frozen files are those that the run began with."""
    task = recorded.task(Path(recorded.commit[:7]))
    began = Task(
        task.folder, {**recorded.files, task.script: baseline.get(task.script, b"")}, recorded.profile, as_is=True
    )
    if began.digest != digest:
        raise NotReplayableError(
            f"commit {recorded.commit[:7]} is not of the task that {recorded.name} ran: its task.toml, frozen files or "
            f"baseline have the digest {began.digest}, the record says {digest}; fetch the repository again"
        )
