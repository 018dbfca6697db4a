"""The summary of a run: result, noise, counts of trials, early stopping, and what was spent."""

from collections.abc import Mapping, Sequence

from agent.report.slices import SELF_REPORTED, PoolSize, pool_lines, published, result_words, why_repeated
from agent.report.trial_table import verdict
from agent.store.stored_run import NOISE_MEASURED
from agent.task.score_kinds import is_self_reported
from agent.text import one_line, plural
from agent.trials.added_lines import AddedLines, ReintroducedShare
from agent.trials.budget import Ledger, duration
from agent.trials.history import History
from agent.trials.hybrid.turn_shares import turn_shares
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.keeping.noise import LossEstimate
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Status, Trial

ONLY_REPEATED = "gains are repeated, not confirmed"
REMEDY = "let the script take its seed from the variable TRAIN_SEED: docs/own-script.md"


def summary(
    history: History,
    metric: Metric,
    keeper: KeepPolicy,
    pool: PoolSize | None = None,
    added: Mapping[int, AddedLines] | None = None,
) -> list[str]:
    """Return the summary of a run, in plain lines.

    Args:
        pool: the size of the pool, for runs that confirm gains on slices.
        added: the lines that each edit adds, of edits that were written as code.
    """
    trials = history.trials
    if not trials:
        return ["no trial has finished yet"]
    first = trials[0].outcome
    if history.incumbent is None or first is None or first.val_loss is None:
        why = f"{first.status.value.replace('_', ' ')}: {one_line(first.reason)}" if first is not None else "unknown"
        return [f"the baseline has no loss, so no trial can be compared with it: {why}"]
    lines = headline(history, metric, keeper)
    if trials[0].outcome and trials[0].outcome.score and is_self_reported(trials[0].outcome.score.kind):
        so = f"; {ONLY_REPEATED}" if why_repeated(history, keeper) else ""
        lines.append(f"  {metric.name} is self-reported: scripts printed it, and nothing checked it{so}")
    if pool is not None:
        lines += pool_lines(history, keeper, pool)
    counts: dict[str, int] = {}
    for trial in trials:
        word = verdict(trial)
        counts[word] = counts.get(word, 0) + 1
    ran = f"{plural(len(trials), 'trial')}: " + ", ".join(f"{n} {word}" for word, n in counts.items())
    if history.repeats:
        ran += f"; {plural(len(history.repeats), 'repeat')}"
    again = reintroduced_lines(added or {})
    return [*lines, ran, *again, *turn_lines(history), *machine_lines(history), *stopped_early(trials), _spent(history)]


def reintroduced_lines(added: Mapping[int, AddedLines]) -> list[str]:
    """Return one line on the share of added lines that a rejected trial had before; no line if no edit adds any."""
    found = ReintroducedShare.of(added)
    if not found.n_lines:
        return []
    return [f"re-introduced: {found.share:.0%} of {plural(found.n_lines, 'added line')} had been in a rejected trial"]


def turn_lines(history: History) -> list[str]:
    """Return one line with the gains of structure and of numbers, for a run of mode centaur-code; else none."""
    parts = [
        f"{share.kind} {share.gain:+.6f} in {plural(share.n_trials, 'trial')} ({duration(share.seconds)}, "
        f"{share.n_kept} kept)"
        for share in turn_shares(history)
    ]
    return [f"gains: {', '.join(parts)}"] if parts else []


def machine_lines(history: History) -> list[str]:
    """Return one line on the machine's speed and void attempts; no line if the speed was not measured."""
    machine = history.trials[0].outcome.machine if history.trials and history.trials[0].outcome else None
    if machine is None or not machine.speeds:
        return []
    from agent.execution.speed.drift import SpeedReference  # imports statistics, which most runs do not need

    reference = SpeedReference.of(machine)
    voids = [void for result in history.timeline for void in result.voids]
    trained = [void.seconds for void in voids if void.trained]
    attempts = plural(len(trained), "attempt")
    canaries = f"machine: canary ± {reference.noise:.1%}, {attempts} void ({duration(sum(trained))})"
    waits = f", {plural(len(voids) - len(trained), 'wait')} before training" if len(voids) > len(trained) else ""
    return [f"{canaries}{waits}"]


def headline(history: History, metric: Metric, keeper: KeepPolicy) -> list[str]:
    """Return the result of a run: first the gain that fresh runs support, then the gain that is still untested.

    Only a gain on slices is called confirmed, and only a gain that fresh runs support is called an improvement.
    """
    incumbent, champion = history.incumbent, history.champion
    assert incumbent is not None
    assert champion is not None
    baseline = keeper.reading(0)
    first = f"baseline {_published(baseline, metric)}"
    found, why = published(history, keeper), why_repeated(history, keeper)
    untested = "not repeated" if why else "not confirmed"
    lines = []
    if champion.number != 0:
        reading = keeper.reading(champion.number)
        own = f"{metric.name} {_published(reading, metric)}"
        if found is not None:
            lines.append(f"confirmed: trial {champion.number}, {result_words(found, metric)}")
            lines.append(f"  search loss: {own}, the {first}, on the split that scores every trial")
        else:
            gain = f"improved by {abs(baseline.mean - reading.mean):.6f}"
            lines.append(f"{_word(champion)}: trial {champion.number}, {own}; {gain} on the {first}")
    elif incumbent.number == 0:
        lines.append(f"best: the {first}; no trial was {'lower' if metric.goal == 'minimise' else 'higher'}")
    elif keeper.rule.kind == "two-tier":
        lines.append(f"no gain {'has been repeated' if why else 'is confirmed'}; {first}")
    if incumbent.number != champion.number:
        assert incumbent.val_loss is not None
        fresh = keeper.reading(incumbent.number)
        more = "" if fresh.selected else f"; {_published(fresh, metric)}"
        value, lead = metric.display(incumbent.val_loss), _lead(incumbent.number, champion.number, metric, keeper)
        lines.append(
            f"provisional: trial {incumbent.number}, {metric.name} {value:.6f} in its first run{more}; "
            f"{lead}, {untested}"
        )
    if why and why != SELF_REPORTED:  # `summary` adds a line on self-reported scores
        lines.append(f"  {ONLY_REPEATED}: {why}")
    lines.append(f"  {sigma_line(keeper)}")
    return lines


def _word(champion: Trial) -> str:
    return "confirmed" if champion.standing is KeepState.CONFIRMED else "repeated"


def _lead(trial: int, champion: int, metric: Metric, keeper: KeepPolicy) -> str:
    """Return a trial's lead over the champion, and the runs that it was computed from."""
    theirs, own = keeper.compared(trial)
    name = "the baseline" if champion == 0 else f"trial {champion}"
    if keeper.rule.paired:
        runs = f"same {'seed' if len(own) == 1 else 'seeds'}"
    else:
        runs = plural(len(theirs), "run")
    here = "" if len(own) == 1 else f"the mean of its {len(own)} runs is {metric.display(sum(own) / len(own)):.6f}, "
    lead, sigmas = keeper.gain_over_champion(trial), keeper.gain_over_champion(trial) / keeper.sigma
    reference = f"{name} at {metric.display(sum(theirs) / len(theirs)):.6f} ({runs})"
    return f"{here}{metric.display(-lead):+.6f} from {reference}: {sigmas:.1f} sigma"


def _published(reading: LossEstimate, metric: Metric) -> str:
    """Return a loss estimate as `2.0512 ± 0.0054 (3 fresh runs)`."""
    runs = plural(reading.n_runs, "fresh run") if not reading.selected else "1 run"
    error = "" if reading.error is None else f" ± {reading.error:.2g}"
    return f"{metric.display(reading.mean):.6f}{error} ({runs})"


def _spent(history: History) -> str:
    ledger = Ledger.of(history.results)
    used = f"spent: {spent_time(ledger, slots_used(history))}"
    if ledger.usage is not None:
        price = "price unknown" if ledger.usage.dollars is None else f"${ledger.usage.dollars:.2f}"
        used += (
            f", {plural(ledger.usage.calls, 'model call')} ({plural(ledger.usage.prompt_tokens, 'token')} in, "
            f"{ledger.usage.completion_tokens} out, {price})"
        )
        if ledger.usage.retries:
            used += f", {plural(ledger.usage.retries, 'transient endpoint failure')}"
    return used


def slots_used(history: History) -> int:
    """Return how many slots had run a trial or repeat of a run by now, at least 1."""
    places = (result.outcome.place for result in history.results if result.outcome is not None)
    return 1 + max((place.slot for place in places if place is not None), default=0)


def spent_time(ledger: Ledger, n_slots: int) -> str:
    """Return the time that was spent, as `72 s of training budget, 2.8 min wall time`.

    Several workers or lost attempts add the device time: `2.8 min wall time, 5.3 min device time on 2 workers`.
    """
    return f"{duration(ledger.train_seconds)} of training budget, {clock_time(ledger, n_slots)}"


def clock_time(ledger: Ledger, n_slots: int) -> str:
    """Return the wall time that was spent and, if several slots or lost attempts spent it, the device time."""
    spent = f"{duration(ledger.wall_seconds)} wall time"
    if n_slots == 1 and not ledger.lost_seconds:
        return spent
    lost = f" ({duration(ledger.lost_seconds)} of it in lost attempts)" if ledger.lost_seconds else ""
    return f"{spent}, {duration(ledger.device_seconds)} device time on {plural(n_slots, 'worker')}{lost}"


def stopped_early(trials: Sequence[Trial]) -> list[str]:
    """Return one line on the trials stopped early and those that ran on as controls; none if there are none."""
    stopped = [t.outcome for t in trials if t.outcome is not None and t.outcome.stopped_at is not None]
    ran_on = [t for t in trials if t.outcome is not None and t.outcome.condemned and t.status is not Status.PRUNED]
    if not stopped and not ran_on:
        return []
    n_pruned = sum(outcome.status is Status.PRUNED for outcome in stopped)
    n_diverged = len(stopped) - n_pruned
    counts = ([f"{n_pruned} pruned at half of the budget"] if n_pruned else []) + (
        [f"{n_diverged} diverged"] if n_diverged else []
    )
    parts = [f"{', '.join(counts) or 'none'}; that saved {duration(saved_seconds(trials))} of training"]
    if ran_on:
        n_kept = sum(trial.kept for trial in ran_on)
        parts.append(f"{len(ran_on)} ran on as controls, to measure wrong kills: {n_kept} of them kept")
    return [f"stopped early: {'; '.join(parts)}"]


def saved_seconds(trials: Sequence[Trial]) -> float:
    """Return the training seconds that early stopping saved: each trial's unused share of the baseline's time."""
    if not trials or trials[0].outcome is None:
        return 0.0
    shares = [t.outcome.stopped_at for t in trials if t.outcome is not None and t.outcome.stopped_at is not None]
    return sum(max(0.0, 1.0 - share) for share in shares) * trials[0].outcome.train_seconds


def noise_summary(trials: Sequence[Trial], metric: Metric) -> list[str]:
    """Return mean and standard deviation of the baseline over training seeds, and the line for task.toml."""
    values = [metric.display(trial.val_loss) for trial in trials if trial.val_loss is not None]
    if len(values) < 2:
        return ["fewer than two seeds have a loss: the noise is unknown"]
    from statistics import mean, stdev  # 10 ms to import, which reading commands do not need

    sigma = stdev(values)
    if sigma == 0:
        return [
            f"{metric.name} is {values[0]:.6f} under all {len(values)} training seeds: no noise was measured",
            f"repeats cannot measure it either; {REMEDY}",
        ]
    return [
        f"{metric.name} of the same script over {len(values)} training seeds: mean {mean(values):.6f}, "
        f"standard deviation {sigma:.6f}, range {max(values) - min(values):.6f}",
        f"write it into task.toml:  [noise] sigma = {sigma:.2g}",
        f"1 in 20 pairs of runs of the same script under two seeds differ by more than {2 * 2**0.5 * sigma:.2g}",
    ]


def sigma_line(keeper: KeepPolicy) -> str:
    """Return the run's estimate of sigma, the noise of one run, and the source of the estimate."""
    sigma, source = f"sigma {keeper.sigma:.2g}", _source(keeper.rule)
    if keeper.noise.is_unobservable:
        return f"{sigma} is a guess at the noise of one run, from {source}: {hidden()}"
    if keeper.noise.n_learned:
        return f"{sigma} is the noise of one run, measured so far"
    if is_measured(keeper):
        return f"{sigma} is the noise of one run, measured by {NOISE_MEASURED}"
    return f"{sigma} is a guess at the noise of one run, from {source}: no repeat has measured it yet"


def is_measured(keeper: KeepPolicy) -> bool:
    """Return whether runs of one script under several seeds have measured sigma: in this run, or in `agent noise`."""
    if keeper.noise.is_unobservable:
        return False
    return keeper.noise.n_learned > 0 or (bool(keeper.rule.sigma) and keeper.rule.sigma_source == NOISE_MEASURED)


def hidden() -> str:
    """Return why repeats cannot measure the noise, and the remedy."""
    return f"repeats cannot measure it, because every seed gives the same loss to the last digit; {REMEDY}"


def _source(rule: KeepRule) -> str:
    if rule.sigma:
        return rule.sigma_source or "an earlier estimate"
    return f"{100 * rule.sigma_share:g} % of the baseline's loss"
