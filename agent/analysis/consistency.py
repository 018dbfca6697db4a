"""`agent log --verify`: checks whether git and the files of a run agree with its journal. It repairs nothing."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.errors import AgentError, EditError, JournalError
from agent.files import read_bytes
from agent.modes.model_choice import model_name
from agent.store.git.objects import Commit
from agent.store.git_repo import TrialRepo, trailers
from agent.store.journal import read_history, torn_bytes
from agent.store.paths import RunPaths, RunsFolder
from agent.store.results_tsv import earlier_results_of, results_of
from agent.store.run_config import RunConfig, load, rule_of
from agent.store.run_lock import holder
from agent.store.stored_run import interrupted
from agent.store.trial_commit import commit_of
from agent.task.task import Task
from agent.text import Say, plural
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.repeat import Repeat, RepeatVerdict
from agent.trials.trial import KeepState, Trial

_Item = TypeVar("_Item")
_MOST_BYTES = 2**30  # of results.tsv, and of a transcript


@dataclass(frozen=True)
class ConsistencyReport:
    """Disagreements with the journal, and notes for the reader, one line each."""

    disagreements: list[str]
    notes: list[str]


def check_consistency(runs: RunsFolder, run_id: str, say: Say = lambda _step: None) -> ConsistencyReport:
    """Compare all files and commits of a run with what follows from its journal.

    `say` is called with each step in words, such as `commit 7 of 40`: a long run takes minutes.
    """
    paths = runs.run(run_id)
    try:
        config, history = load(paths.run_json), read_history(paths.journal)
    except JournalError as error:
        return ConsistencyReport([str(error)], [])
    repo = TrialRepo(runs.repo)
    try:
        task = _task(config, history, repo)
        expected = dict(_counted("commit", _expected(config, history, task), len(history.trials), say))
    except (AgentError, EditError) as error:
        return ConsistencyReport([f"the expected commits cannot be computed: {error}"], [])
    found = [
        *_in_git(run_id, history, repo, expected, say),
        *_in_files(paths, history, task, expected, say),
        *_in_verdicts(config, history),
        *_in_slices(config, paths, history),
    ]
    return ConsistencyReport(found, list(_notes(paths, history)))


def _counted(what: str, items: Iterable[_Item], n_items: int, say: Say) -> Iterator[_Item]:
    """Yield the items, and say which of them is next."""
    for number, item in enumerate(items, start=1):
        say(f"{what} {number} of {n_items}")
        yield item


def _notes(paths: RunPaths, history: History) -> Iterator[str]:
    pid = holder(paths)
    if pid is not None:
        yield f"process {pid} is working on the run, so differences may be temporary"
    elif history.in_flight:
        yield from interrupted(history, paths.run_id)
    if history.opened is not None and pid is None:
        use = history.opened
        yield f"slice {use.number} was opened but not scored; `agent resume {paths.run_id}` scores it"
    if torn := torn_bytes(paths.journal):
        yield f"the journal ends in a torn line of {plural(torn, 'byte')}, which is ignored"


def _task(config: RunConfig, history: History, repo: TrialRepo) -> Task:
    """Return the task in the baseline's commit; the one in the task's folder if there is no such commit."""
    folder, first = Path(config.task_folder), f"{config.run_id}/0000"
    if not history.trials or repo.tag(config.run_id, 0) is None:
        return Task.load(folder, config.profile)
    return Task(folder, repo.read(first), config.profile, as_is=True)


def _expected(config: RunConfig, history: History, task: Task) -> Iterator[tuple[int, Commit]]:
    """Yield the commit that follows from the journal, for each trial."""
    sources: dict[int, str] = {}
    hashes: dict[int, str] = {}
    for trial in history.by_finish:
        source = task.source if trial.parent is None else trial.proposal.edit.apply(sources[trial.parent])
        onto = history.commit_parent(trial)
        commit = commit_of(
            trial,
            {**task.files, task.script: source.encode()},
            None if onto is None else hashes[onto],
            onto=onto,
            run_id=config.run_id,
            mode=config.mode,
            task=task,
            model=model_name(config),
        )
        sources[trial.number], hashes[trial.number] = source, commit.sha
        yield trial.number, commit


def _in_git(run_id: str, history: History, repo: TrialRepo, expected: Mapping[int, Commit], say: Say) -> Iterator[str]:
    """Yield where tags, branch and objects differ from what follows from the journal."""
    tags = repo.tags(run_id)
    for number, commit in _counted("tag", expected.items(), len(expected), say):
        if number not in tags:
            yield f"trial {number}: there is no tag {run_id}/{number:04d}; `agent resume {run_id}` recreates it"
        elif tags[number] != commit.sha:
            yield from (f"trial {number}: {what}" for what in _differences(repo, tags[number], commit))
    for number in sorted(tags.keys() - expected.keys()):
        yield f"tag {run_id}/{number:04d} belongs to no finished trial of the journal"
    if history.incumbent is not None:
        branch, incumbent = repo.branch(run_id), history.incumbent.number
        if branch != expected[incumbent].sha:
            yield f"branch {run_id} is at {(branch or 'nothing')[:12]}, not at trial {incumbent}, the incumbent"
    say("git's objects")
    yield from (f"git: {line}" for line in repo.problems())


def _differences(repo: TrialRepo, sha: str, commit: Commit) -> Iterator[str]:
    """Yield how a commit differs from the expected one."""
    try:
        files, message, parents = repo.read(sha), repo.message(sha), repo.parents(sha)
    except AgentError as error:
        yield f"its commit {sha[:12]} cannot be read ({error})"
        return
    for name in sorted(files.keys() | commit.files.keys()):
        if files.get(name) != commit.files.get(name):
            yield f"{name} in its commit is not the result of applying its edit to its parent"
    wanted, found = trailers(commit.message), trailers(message)
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield f"trailer {name} is {found.get(name, 'missing')}, but {wanted.get(name, 'none')} in the journal"
    if parents != ([commit.parent] if commit.parent else []):
        yield "the parent of its commit is not the tip of the branch when it ended"
    else:
        yield f"its commit is {sha[:12]}, but {commit.sha[:12]} follows from the journal"


def _in_files(paths: RunPaths, history: History, task: Task, expected: Mapping[int, Commit], say: Say) -> Iterator[str]:
    """Yield where results.tsv, worktree and trial folders differ from what follows from the journal."""
    hashes = {number: commit.sha for number, commit in expected.items()}
    wanted, earlier = (
        of(task.metric, history.by_finish, hashes).splitlines() for of in (results_of, earlier_results_of)
    )
    if list(_lines(paths.results_tsv, earlier)):
        yield from (f"results.tsv, {what}" for what in _lines(paths.results_tsv, wanted))
    if history.incumbent is not None:
        may_differ = task.script if history.in_flight or history.repeating is not None else None
        yield from _worktree(paths.worktree, expected[history.incumbent.number].files, may_differ)
    for trial in _counted("the files of trial", history.trials, len(history.trials), say):
        if not trial.is_refused:
            yield from (f"trial {trial.number}: {what}" for what in _left_by(paths, trial, expected[trial.number]))
        yield from _conversation(paths, trial)
        digest = trial.proposal.notes
        if digest is not None and not paths.notes(digest).is_file():
            yield f"trial {trial.number}: notes/{digest}.md, which its proposer read, is missing"
    known = history.n_started + 1  # the next one may have a transcript already
    folders = (paths.root / "trials").glob("*") if (paths.root / "trials").is_dir() else ()
    yield from (f"trials/{p.name} belongs to no trial" for p in sorted(folders) if not _is_below(p.name, known))


def _lines(path: Path, wanted: list[str]) -> Iterator[str]:
    if not path.is_file():
        yield "which is missing; `agent resume` recreates it"
        return
    found = read_bytes(path, _MOST_BYTES).decode(errors="replace").splitlines()
    for number in range(max(len(wanted), len(found))):
        if wanted[number : number + 1] != found[number : number + 1]:
            yield f"line {number + 1}: differs from what follows from the journal"


def _worktree(worktree: Path, files: Mapping[str, bytes], may_differ: str | None) -> Iterator[str]:
    if not worktree.is_dir():
        yield "worktree/ is missing; `agent resume` recreates it"
        return
    found = {str(p.relative_to(worktree)) for p in worktree.rglob("*") if p.is_file() and p.name != ".git"}
    for name in sorted(found | files.keys()):
        is_same = name in found and name in files and _holds(worktree / name, files[name])
        if not is_same and name != may_differ:
            yield f"worktree/{name} is not the incumbent's"


def _left_by(paths: RunPaths, trial: Trial, commit: Commit) -> Iterator[str]:
    """Yield what is missing or wrong in the folder of a trial that was executed."""
    own = paths.trial(trial.number)
    for name, content in commit.files.items():
        if not _holds(own.files / name, content):
            yield f"files/{name} differs from its commit"
    if not own.log.is_file():
        yield "train.log is missing"
    if trial.kept != own.artifact.exists():
        yield "its artifact is missing" if trial.kept else "it was not kept, but its artifact exists"


def _in_verdicts(config: RunConfig, history: History) -> Iterator[str]:
    """Yield the verdicts on slices that do not follow from the run's losses and leads, by applying the keep rule again.

    Runs without slices are left out, because earlier versions of the rule have decided some of them.
    """
    keeper = KeepPolicy(rule_of(config))
    for result in history.results:
        if not isinstance(result, Repeat) or result.verdict is None or not keeper.on_slices:
            keeper.observe(result)
            continue
        keeper.read(result.trial, result.seed, result.val_loss)
        for use in result.slices:
            keeper.tests.take(result.trial, use)
        follows = keeper.objection(result.trial, result.seed)
        if follows is None and result.slices:
            follows = keeper.verdict_on(result.trial, result.slices[-1])
        # If no slice was left, no verdict follows for the trial.
        cause = "no slice was opened for it" if follows is None else f"{_in_words(follows)} follows from the leads"
        if not _is_same(result.verdict, follows or RepeatVerdict(KeepState.PROVISIONAL, None)):
            yield f"trial {result.trial}, seed {result.seed}: the verdict is {_in_words(result.verdict)}, but {cause}"
        keeper.move(result.trial, result.verdict.standing)


def _is_same(one: RepeatVerdict, other: RepeatVerdict) -> bool:
    """Return whether two verdicts agree, numbers up to the rounding of another machine."""
    pairs = ((one.lead, other.lead), (one.n_errors, other.n_errors), (one.bar, other.bar))
    return one.standing is other.standing and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))
        for a, b in pairs
    )


def _in_words(verdict: RepeatVerdict) -> str:
    errors = "" if verdict.n_errors is None else f" ({verdict.n_errors:.3f} standard errors, {verdict.bar:g} needed)"
    return f"{verdict.standing.value.replace('_', ' ')}{errors}"


def _in_slices(config: RunConfig, paths: RunPaths, history: History) -> Iterator[str]:
    """Yield slices that the run cannot have opened, and folders that belong to no slice that it opened."""
    opened = {use.number: use for use in history.slices}
    finished = {trial.number for trial in history.trials}
    for number in opened:
        if config.pool is None or number >= config.n_slices:
            yield f"slice {number} was opened, but the run's pool has {plural(config.n_slices, 'slice')}"
    for folder in sorted((paths.root / "slices").glob("*")):
        if folder != paths.rehearsal and folder not in map(paths.slice, opened):
            yield f"slices/{folder.name} belongs to no slice that was opened"
    for use in opened.values():
        for name, entrant in use.entrants.items():
            if entrant.trial not in finished:
                yield f"slice {use.number}: the {name} is of trial {entrant.trial}, which does not exist"


def _conversation(paths: RunPaths, trial: Trial) -> Iterator[str]:
    """Yield whether llm.jsonl lacks model replies that the journal counts."""
    path, usage = paths.trial(trial.number).llm, trial.proposal.usage
    n_replies = read_bytes(path, _MOST_BYTES).count(b'"reply": ') if path.is_file() else 0
    if usage is not None and n_replies < usage.calls:
        replies, calls = plural(n_replies, "reply", "replies"), plural(usage.calls, "call")
        yield f"trial {trial.number}: llm.jsonl has {replies}, but the journal {calls}"


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a plain file has this content."""
    return path.is_file() and path.stat().st_size == len(content) and read_bytes(path, len(content)) == content


def _is_below(name: str, number: int) -> bool:
    return name.isdigit() and int(name) < number
