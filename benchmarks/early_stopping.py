"""Savings and wrong kills that early stopping would have caused in runs without pruning.

`python -m benchmarks.early_stopping RUN ... --runs DIR` reads runs of the bundled task made with `--no-prune`: curves
from the training logs, losses from the journal, scripts from the commits. It applies `agent.execution.early_stopping`
and `agent.trials.keeping.keep_rule` to the trials in many random orders; several runs together need the same baseline.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from agent.execution.early_stopping import EarlyStopper, Pruner, pruner_of
from agent.resources import folder
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.learning_curve import HALF, LearningCurve
from agent.trials.trial import Trial

PLENTY = 1 << 24


@dataclass(frozen=True)
class Ran:
    """A trial that ran to its end."""

    trial: Trial
    curve: LearningCurve
    half: float  # level of the curve at half of the budget
    source: str
    parent: str  # the script that it edited, compared instead of the champion's to find what the edit touches

    @property
    def loss(self) -> float:
        assert self.trial.val_loss is not None
        return self.trial.val_loss


@dataclass(frozen=True)
class Played:
    """The effect of a rule on the trials in one order."""

    n_trials: int  # without the baseline
    n_condemned: int
    n_killed: int
    saved: float  # share of all training
    n_better: int  # trials with a lower loss than all before them, killed or not
    n_better_killed: int
    regret: float  # best loss of the remaining trials minus the best of all


def trials_of(stored: StoredRun, task: Task) -> Iterator[Ran]:
    """Yield the trials with a loss and a full curve."""
    rule = pruner_of(task, 0, [])
    assert rule is not None
    for trial in stored.history.trials:
        log = stored.paths.trial(trial.number).log
        if trial.val_loss is None or not log.exists():
            continue
        watch = EarlyStopper(rule.form, log, PLENTY, diverges=False)
        watch.end()
        if watch.curve is not None and watch.curve.half is not None and watch.curve.end is not None:
            parent = trial.number if trial.parent is None else trial.parent
            sources = (
                stored.repo.read(stored.hashes[number])[task.script].decode() for number in (trial.number, parent)
            )
            yield Ran(trial, watch.curve, watch.curve.half, *sources)


def play(order: Sequence[Ran], task: Task, exempt: Sequence[str], sigma: float, seed: int) -> Played:
    """Return the effect of a rule on the trials in this order, of which the first is the baseline."""
    keeper = KeepPolicy(KeepRule("any", paired=task.budget.deterministic, sigma=sigma))
    whole = pruner_of(task, seed, [])
    assert whole is not None
    pruner = Pruner(whole.form, exempt, seed)
    killed: list[Ran] = []
    n_condemned = n_better = n_better_killed = 0
    for number, ran in enumerate(order):
        best = min((each.loss for each in order[:number]), default=None)
        is_better = best is not None and ran.loss < best
        n_better += is_better
        threshold = None
        if keeper.result is not None:
            threshold = pruner.threshold(number, ran.source, keeper.result, ran.parent, keeper.sigma)
        is_condemned = threshold is not None and threshold.condemned(ran.half, ran.curve.error) is not None
        n_condemned += is_condemned
        if threshold is not None and is_condemned and not threshold.is_control:
            killed.append(ran)
            n_better_killed += is_better
            continue
        assert ran.trial.outcome is not None
        outcome = replace(ran.trial.outcome, curve=ran.curve, kept=False)
        trial = replace(ran.trial, number=number, outcome=keeper.decide(outcome, ran.trial.proposal.train_seed))
        keeper.observe(trial)
        pruner.observe(trial)
    left = min(ran.loss for ran in order if ran not in killed)
    return Played(
        n_trials=len(order) - 1,
        n_condemned=n_condemned,
        n_killed=len(killed),
        saved=len(killed) * (1 - HALF) / len(order),
        n_better=n_better,
        n_better_killed=n_better_killed,
        regret=left - min(ran.loss for ran in order),
    )


def row(name: str, played: Sequence[Played]) -> str:
    """Return a rule's line of the table."""
    n_trials, n_better = sum(p.n_trials for p in played), sum(p.n_better for p in played)
    return (
        f"| {name} | {100 * sum(p.n_condemned for p in played) / n_trials:.1f} "
        f"| {100 * sum(p.n_killed for p in played) / n_trials:.1f} | {100 * mean(p.saved for p in played):.1f} "
        f"| {100 * sum(p.n_better_killed for p in played) / n_better:.1f} | {mean(p.regret for p in played):.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="RUN")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--orders", type=int, default=300)
    options = parser.parse_args()
    stored = [StoredRun.find(RunsFolder(options.runs.resolve()), name) for name in options.names]
    task = Task.load(folder("train_template"))
    found = [list(trials_of(run, task)) for run in stored]
    baseline = found[0][0]
    if {(trials[0].source, trials[0].loss) for trials in found} != {(baseline.source, baseline.loss)}:
        parser.error("these runs have other baselines: their curves cannot be compared")
    others = [ran for trials in found for ran in trials[1:]]
    sigma = stored[0].config.noise_sigma or task.noise.sigma
    assert task.curve is not None
    assert sigma is not None, "measure the noise first: agent noise"
    print(f"{len(others)} trials besides the baseline, sigma {sigma:g}, {options.orders} random orders\n")
    print("| rule | condemned % | killed % | saved % | lowest so far, killed % | regret |")
    print("|---|---|---|---|---|---|")
    for name, exempt in [("as shipped", task.curve.exempt), ("nothing exempt", ())]:
        played = []
        for seed in range(options.orders):
            order = [baseline, *random.Random(seed).sample(others, len(others))]
            played.append(play(order, task, exempt, sigma, seed))
        print(row(name, played), flush=True)


if __name__ == "__main__":
    main()
