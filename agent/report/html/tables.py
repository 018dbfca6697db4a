"""The tables of a report: runs, ledger, origins of the gains, test split, slices, environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from agent.analysis.test_split import TestSplitResult
from agent.analysis.unseen.verified_slice import VerifiedOnSlice
from agent.edits.edit import Params
from agent.files import read_json
from agent.llm.model import ModelUsage
from agent.report.run_summary import slots_used
from agent.report.table import Table
from agent.report.trial_table import purpose, verdict
from agent.search.cmaes import CMAState
from agent.store.run_config import MOST_BYTES
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.text import one_line
from agent.trials.budget import Ledger, duration
from agent.trials.history import History
from agent.trials.hybrid.turn_shares import turn_shares
from agent.trials.repeat import Repeat
from agent.trials.trial import Origin, Status, Trial

# A shared page must not reveal paths and addresses of this machine.
_PRIVATE = ("task_folder", "record", "base_url", "executable")


@dataclass(frozen=True)
class RunOnPage:
    """A stored run with at least one finished trial, its task, its search states and verified results."""

    stored: StoredRun
    task: Task  # with the baseline's script
    states: Mapping[int, CMAState]  # states of its CMA-ES; empty for other modes
    verified: TestSplitResult | None  # test split result of its best trial; None: not verified
    on_slice: VerifiedOnSlice | None = None  # result on a slice of unseen text; None: not verified

    @property
    def trials(self) -> Sequence[Trial]:
        return self.stored.history.trials

    @property
    def results(self) -> list[Trial | Repeat]:
        """Trials and repeats in the order in which they finished; trials with their present standing."""
        return self.stored.history.finished

    @property
    def scored(self) -> list[tuple[int, Params, float]]:
        """Number, parameters and loss of the trials that have a loss and a value for every name of the space."""
        names = set(self.task.space.names) if self.task.space else set()
        return [
            (t.number, t.proposal.params, t.val_loss)
            for t in self.trials
            if t.val_loss is not None and t.proposal.params and names <= set(t.proposal.params)
        ]


def runs_table(runs: Sequence[RunOnPage]) -> Table:
    """Return one row per run: its mode, its best loss and the counts of its trials."""
    metric = runs[0].stored.metric
    columns = ("run", "mode", "seed", "trials", f"best {metric.name}", "change", "kept", "no loss", "out of memory",
               "budget used", "wall time")  # fmt: skip
    return Table(columns, [_run(run) for run in runs])


def _run(run: RunOnPage) -> list[str]:
    stored, trials = run.stored, run.trials
    metric, best, ledger = stored.metric, stored.best, Ledger.of(run.results)
    first = trials[0].val_loss
    value = change = ""
    if best is not None and best.val_loss is not None:
        value = f"{metric.display(best.val_loss):.6f}"
        change = "" if first is None else f"{metric.display(best.val_loss) - metric.display(first):+.6f}"
    n_memory = sum(trial.status is Status.OUT_OF_MEMORY for trial in trials)
    n_lost = sum(trial.val_loss is None for trial in trials)
    return [
        stored.run_id, stored.label, str(stored.config.seed), str(len(trials)), value, change,
        str(sum(trial.kept for trial in trials)), _share(n_lost, len(trials)), _share(n_memory, len(trials)),
        duration(ledger.train_seconds), duration(ledger.wall_seconds),
    ]  # fmt: skip


def ledger_table(runs: Sequence[RunOnPage]) -> Table:
    """Return what each run spent: seconds, tokens, dollars."""
    ledgers = [Ledger.of(run.results) for run in runs]
    is_shared = any(slots_used(run.stored.history) > 1 for run in runs) or any(each.lost_seconds for each in ledgers)
    devices = ("wall time", "device time", "in lost attempts") if is_shared else ()
    columns = ("run", "training budget", "training wall time", "rehearsals", "proposing, scoring, rest", *devices,
               "model calls", "tokens in", "tokens out", "model time", "dollars")  # fmt: skip
    rows = []
    for run, ledger in zip(runs, ledgers, strict=True):
        outcomes = [result.outcome for result in run.results if result.outcome]
        used = ledger.usage
        trained = sum(outcome.wall_seconds for outcome in outcomes)
        rehearsed = sum(trial.proposal.smoke_seconds for trial in run.trials)
        queued = sum(outcome.place.queued_seconds for outcome in outcomes if outcome.place)
        rest = max(0.0, sum(outcome.total_seconds for outcome in outcomes) - queued - trained - rehearsed)
        spent = [duration(ledger.train_seconds), duration(trained), duration(rehearsed), duration(rest)]
        price = "" if used is None else "unknown" if used.dollars is None else f"{used.dollars:.2f}"
        model_cost = ["0", "", "", "", ""] if used is None else [
            str(used.calls), f"{used.prompt_tokens:,}", f"{used.completion_tokens:,}", duration(used.seconds), price,
        ]  # fmt: skip
        times = (ledger.wall_seconds, ledger.device_seconds, ledger.lost_seconds)
        rows.append([run.stored.run_id, *spent, *(map(duration, times) if is_shared else ()), *model_cost])
    return Table(columns, rows)


def origins_table(runs: Sequence[RunOnPage]) -> Table:
    """Return what each origin proposed, gained and cost, one row per run and origin; the baseline has no origin."""
    metric = runs[0].stored.metric
    columns = ["run", "origin", "proposed", "share", "ran", "with a loss", "kept", "copies", "lowered the loss by",
               f"best {metric.name}"]  # fmt: skip
    found = [(run, origin_stats(run.stored.history)) for run in runs]
    has_model_calls = any(each.usage is not None for _, stats in found for each in stats)
    columns += ["calls", "tokens", "dollars", "kept per dollar"] if has_model_calls else []
    rows = []
    for run, stats in found:
        n_all = sum(each.n_proposed for each in stats)
        for each in stats:
            best = "" if each.best is None else f"{metric.display(each.best):.6f}"
            counts = (each.n_ran, each.n_scored, each.n_kept, each.n_copies)
            rows.append([
                run.stored.run_id, each.origin.value, str(each.n_proposed), _share(each.n_proposed, n_all),
                *map(str, counts), f"{each.gain:.6f}", best, *(_model_cost_of(each) if has_model_calls else ()),
            ])  # fmt: skip
    return Table(columns, rows)


def turns_table(runs: Sequence[RunOnPage]) -> Table:
    """Return the gains of structure and of numbers, two rows for each run of mode centaur-code."""
    columns = ("run", "turn", "trials", "kept", "lowered the loss by", "share of the gain", "device time")
    rows = []
    for run in runs:
        shares = turn_shares(run.stored.history)
        whole = sum(share.gain for share in shares)
        for share in shares:
            part = f"{share.gain / whole:.0%}" if whole > 0 else ""
            counts = str(share.n_trials), str(share.n_kept)
            rows.append(
                [run.stored.run_id, share.kind.value, *counts, f"{share.gain:.6f}", part, duration(share.seconds)]
            )
    return Table(columns, rows)


def _model_cost_of(stats: "OriginStats") -> list[str]:
    """Return calls, tokens and dollars of an origin's proposals, and the trials kept per dollar."""
    used = stats.usage
    if used is None:
        return ["0", "", "", ""]
    price = "unknown" if used.dollars is None else f"{used.dollars:.2f}"
    kept = f"{stats.n_kept / used.dollars:.2g}" if used.dollars else ""
    return [str(used.calls), f"{used.prompt_tokens + used.completion_tokens:,}", price, kept]


@dataclass(frozen=True)
class OriginStats:
    """Counts and gains of the proposals of one origin."""

    origin: Origin
    n_proposed: int
    n_ran: int  # in a sandbox, failed or not
    n_scored: int
    n_kept: int
    n_copies: int  # proposals of values that another origin had proposed before
    gain: float  # total decrease of the loss by its trials; 0 for those rolled back
    best: float | None  # lowest loss, minimised
    usage: ModelUsage | None = None  # all model calls for its proposals; None: none


def origin_stats(history: History) -> list[OriginStats]:
    """Return counts and gains per origin, the baseline excluded, in the order of first appearance."""
    trials: dict[Origin, list[Trial]] = {}
    usages: dict[Origin, list[ModelUsage]] = {}
    for trial in history.trials:
        origin, usage = trial.proposal.origin, trial.proposal.usage
        if origin is not Origin.BASELINE:
            trials.setdefault(origin, []).append(trial)
        if usage is not None:  # also of a model none of whose points passed the host's screen
            caller = Origin.LLM if trial.proposal.offer is not None else origin
            trials.setdefault(caller, [])
            usages.setdefault(caller, []).append(usage)
    return [_stats_of(history, origin, those, usages.get(origin, [])) for origin, those in trials.items()]


def _stats_of(history: History, origin: Origin, trials: list[Trial], used: list[ModelUsage]) -> OriginStats:
    losses = [trial.val_loss for trial in trials if trial.val_loss is not None]
    return OriginStats(
        origin=origin,
        n_proposed=len(trials),
        n_ran=sum(trial.status is not None and trial.status.ran for trial in trials),
        n_scored=len(losses),
        n_kept=sum(trial.kept for trial in trials),
        n_copies=sum(trial.proposal.copied_from is not None for trial in trials),
        gain=sum(history.gain(trial.number) for trial in trials),
        best=min(losses, default=None),
        usage=reduce(ModelUsage.plus, used) if used else None,
    )


def failures(runs: Sequence[RunOnPage]) -> dict[str, float]:
    """Return the number of trials of all runs by failure status, the most frequent first."""
    counts: dict[str, float] = {}
    for trial in (trial for run in runs for trial in run.trials if trial.val_loss is None):
        word = verdict(trial).replace("_", " ")
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def failures_table(runs: Sequence[RunOnPage]) -> Table:
    """Return one row per kind of failure: its count, its first trials, and the reason of the last one."""
    kinds: dict[str, list[tuple[RunOnPage, Trial]]] = {}
    for run in runs:
        for trial in run.trials:
            if trial.val_loss is None:
                kinds.setdefault(verdict(trial).replace("_", " "), []).append((run, trial))
    rows = []
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        names = [str(t.number) if len(runs) == 1 else f"{r.stored.run_id}/{t.number}" for r, t in found[:8]]
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        outcome = found[-1][1].outcome
        rows.append([kind, str(len(found)), ", ".join(names) + more, one_line(outcome.reason) if outcome else ""])
    return Table(("kind", "trials", "numbers", "reason of the last"), rows)


def repeats_table(runs: Sequence[RunOnPage]) -> Table:
    """Return one row per repeat: a further run of a trial's script under another seed."""
    metric = runs[0].stored.metric
    rows = []
    for run in runs:
        for repeat in run.stored.history.repeats:
            value = "" if repeat.val_loss is None else f"{metric.display(repeat.val_loss):.6f}"
            stands = repeat.verdict.standing.value.replace("_", " ") if repeat.verdict else ""
            rows.append([run.stored.run_id, str(repeat.trial), value, stands, purpose(repeat, metric)])
    return Table(("run", "trial", metric.name, "verdict", "why"), rows)


def test_table(runs: Sequence[RunOnPage]) -> Table:
    """Return the test split results, one row per verified run."""
    metric = runs[0].stored.metric
    columns = ("run", "trial", "validation", "test", "gap", "the baseline's gap", "overfitting")
    rows = []
    for run in runs:
        if (found := run.verified) is not None:
            values = [f"{metric.display(loss):.6f}" for loss in (found.val_loss, found.test_loss)]
            gaps = (found.gap, found.baseline_gap, found.gap - found.baseline_gap)
            rows.append([run.stored.run_id, str(found.trial), *values, *(f"{metric.display(g):+.6f}" for g in gaps)])
    return Table(columns, rows)


def slice_table(runs: Sequence[RunOnPage]) -> Table:
    """Return the verified results on slices of unseen text, one row per verified run."""
    metric = runs[0].stored.metric
    rows = []
    for run in runs:
        if (found := run.on_slice) is not None:
            losses = [f"{metric.display(loss):.6f}" for loss in (found.loss, found.baseline)]
            lead = f"{found.lead.mean:.6f} ± {found.lead.error:.2g}"
            others = str(found.use.n_other_runs)
            rows.append([run.stored.run_id, str(found.trial), str(found.use.number), *losses, lead, others])
    columns = (
        "run",
        "trial",
        "slice",
        f"its {metric.name}",
        "the baseline's",
        "lead ± sampling error",
        "opened before",
    )
    return Table(columns, rows)


def environment_table(runs: Sequence[RunOnPage]) -> Table:
    """Return machine, versions and options of the runs, one row per fact; values that all runs share appear once."""
    facts = [_environment(run) for run in runs]
    names = dict.fromkeys(name for found in facts for name in found)
    rows = []
    for name in names:
        values = [found.get(name, "") for found in facts]
        rows.append([name, *(values[:1] if len(set(values)) == 1 else [" · ".join(values)])])
    return Table(("fact", " · ".join(run.stored.run_id for run in runs)), rows)


def _environment(run: RunOnPage) -> dict[str, str]:
    document = read_json(run.stored.paths.run_json, MOST_BYTES)
    sandboxes = dict.fromkeys(t.outcome.sandbox for t in run.trials if t.outcome and t.outcome.sandbox)
    facts = {**document["environment"], "sandbox": ", ".join(sandboxes)}
    options = {name: value for name, value in document["config"].items() if value not in (None, [], False)}
    return {name.replace("_", " "): str(value) for name, value in {**options, **facts}.items() if name not in _PRIVATE}


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if part and whole else "0"
