"""CPU seconds per unit of the bundled task's budget, over honest configurations: `python -m benchmarks.compute_use`.

Draws configurations at random from the search space, trains each in the sandbox and adds a row to the table: CPU
seconds of training, the work that the script charges for its steps, and the speed probe before and after. `--kind
loaded` runs two busy processes beside it. Interrupted and called again, it continues. At the end, or alone with
`--configurations 0`, it prints what the table says of a bound. A ratio is that of a row to the baseline of its batch.

Half of the budget is enough in theory, because both sides of a ratio are sums over equal steps. `--kind full` trains
configurations of `idle` for the whole budget, and the summary says by how much their ratios change.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, stdev

from agent.edits.assignments import Assignments
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact
from agent.execution.training_job import training_job
from agent.search.random_search import RandomSearcher
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from benchmarks.bundled_models import bundled, trained
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Mount

TABLE = Path(__file__).with_name("compute_use.csv")
AMOUNT = 4.0  # of work, half of the task's budget
SEEDS = {"idle": 17, "loaded": 18, "check": 19, "full": 17}  # of the draw; full: those of idle, at the whole budget
N_HOGS = 2
BATCH = 10  # configurations a job, after the baseline
SHAPE = ("DEPTH", "ASPECT_RATIO", "HEAD_DIM", "DEVICE_BATCH_SIZE", "TOTAL_BATCH_SIZE", "WINDOW_PATTERN")
COLUMNS = (
    *("kind", "batch", "number", "at", "load", *SHAPE, "price", "paid", "exit", "cpu_seconds"),
    *("speed_before", "speed_behind"),
)
N_SEEDS = 3
BOUND_SHARE = 0.99
INTERVAL_TAIL = 0.025
BASELINE = -1  # number of the row that is the task's own script: the first of each batch


@contextmanager
def hogs(n: int) -> Iterator[None]:
    """Keep `n` processes busy."""
    busy = [subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(task: Task, corpus: Corpus, kind: str, batch: int) -> list[dict[str, object]]:
    """Train one batch of configurations in one job and return its rows; end the program if the job fails."""
    assert task.space is not None
    searcher = RandomSearcher(task.space, SEEDS[kind])
    numbers = [BASELINE, *range(batch * BATCH, (batch + 1) * BATCH)]
    drawn = {number: task.defaults if number == BASELINE else searcher.ask(number) for number in numbers}
    with tempfile.TemporaryDirectory() as scratch:
        paths = TrialPaths(Path(scratch))
        paths.files.mkdir()
        for place, number in enumerate(numbers):
            (paths.files / f"script-{place:02d}.py").write_text(
                Assignments(drawn[number]).apply(task.source), encoding="utf-8"
            )
        job = training_job(
            task, corpus, paths, label="benchmark/compute-use", train_seed=0, baseline_cpu_seconds=None, passed_on={}
        )
        driver = Path(__file__).with_name("compute_use_driver.py")
        workload = Path(training_job.__code__.co_filename).with_name("speed") / "probe_workload.py"
        mounts = (*job.mounts, Mount(driver, "/in/driver.py"), Mount(workload, "/in/workload.py"))
        amount = task.budget.amount if kind == "full" else AMOUNT
        argv = ("python", "/in/driver.py", "/task", f"{amount:g}")
        job = replace(job, argv=argv, mounts=mounts, limits=replace(job.limits, wall_seconds=3600))
        with hogs(N_HOGS if kind == "loaded" else 0):
            execution = BubblewrapSandbox().run(job)
            load = os.getloadavg()[0]
        log = paths.log.read_text(encoding="utf-8")
        if execution.exit_code != 0:
            sys.exit(f"the job failed: {log[-2000:]}")
    rows = []
    for number, line in zip(numbers, log.splitlines(), strict=True):
        measured = json.loads(line)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"kind": kind, "batch": batch, "number": number, "at": at, "load": f"{load:.1f}"}
        row |= {name: drawn[number][name] for name in SHAPE}
        row |= {name: f"{measured[name]:.5g}" for name in ("price", "paid", "exit", "cpu_seconds") if name in measured}
        row |= dict(
            zip(("speed_before", "speed_behind"), (f"{speed:.5g}" for speed in measured["speeds"]), strict=True)
        )
        rows.append(row)
    return rows


Rows = Sequence[Mapping[str, str]]


def cost(row: Mapping[str, str]) -> float:
    """Return the CPU seconds that a training used for a unit of work, times the machine's speed."""
    speed = (float(row["speed_before"]) + float(row["speed_behind"])) / 2
    return float(row["cpu_seconds"]) * speed / float(row["paid"])


def ratios(rows: Rows, *kinds: str) -> list[tuple[float, Mapping[str, str]]]:
    """Return the ratio of each honest configuration of these kinds that trained to its end, the smallest first."""
    ended = [row for row in rows if row["exit"] == "0" and row["kind"] in kinds]
    baselines = {(row["kind"], row["batch"]): cost(row) for row in ended if int(row["number"]) == BASELINE}
    drawn = [row for row in ended if int(row["number"]) != BASELINE]
    return sorted(((cost(row) / baselines[row["kind"], row["batch"]], row) for row in drawn), key=lambda pair: pair[0])


def quantile(values: Sequence[float], share: float) -> tuple[float, float, float]:
    """Return a quantile of sorted values, and a 95 % interval that supposes no distribution: two order statistics.

    The interval's upper end is the largest value if there are too few to bound the quantile.
    """
    n, low, high = len(values), 0, len(values) - 1
    below = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]  # k values are below it
    total = 0.0
    for k in range(n):
        total += below[k]
        if total <= INTERVAL_TAIL:
            low = k
        if total >= 1 - INTERVAL_TAIL:
            high = k
            break
    return values[min(n - 1, math.ceil(share * n) - 1)], values[low], values[high]


def summary(rows: Rows) -> None:
    """Print quantiles, the bound with its interval, how often the check rows exceed it, and the ratio by shape."""
    for kind in SEEDS:
        found = [ratio for ratio, _ in ratios(rows, kind)]
        if found:
            failed = sum(row["kind"] == kind and row["exit"] != "0" for row in rows)
            print(f"{kind:7} {len(found)} ended, {failed} failed; median {median(found):.3f}, largest {found[-1]:.3f}")
    baselines = [cost(row) for row in rows if int(row["number"]) == BASELINE]
    if len(baselines) > 1:
        print(f"baseline: {len(baselines)} times, standard deviation {stdev(baselines) / median(baselines):.1%}")
    honest = ratios(rows, "idle", "loaded")
    if not honest:
        return
    bound, low, high = quantile([ratio for ratio, _ in honest], BOUND_SHARE)
    print(f"bound: {BOUND_SHARE:.0%} quantile of {len(honest)}: {bound:.3f} (95 % interval {low:.3f} to {high:.3f})")
    checked = [ratio for ratio, _ in ratios(rows, "check")]
    print(f"check: {sum(ratio > bound for ratio in checked)} of {len(checked)} are above it")
    whole = {row["number"]: ratio for ratio, row in ratios(rows, "full")}
    changes = [whole[row["number"]] / ratio - 1 for ratio, row in ratios(rows, "idle") if row["number"] in whole]
    if changes:
        print(f"full: {len(changes)} at the whole budget; ratio changed by {mean(changes):+.1%} on average, ", end="")
        print(f"{min(changes):+.1%} to {max(changes):+.1%}")
    for name in ("DEPTH", "DEVICE_BATCH_SIZE", "TOTAL_BATCH_SIZE", "HEAD_DIM"):
        groups: dict[int, list[float]] = {}
        for ratio, row in honest:
            groups.setdefault(int(row[name]), []).append(ratio)
        shown = (f"{value}: {median(group):.2f}, {max(group):.2f}" for value, group in sorted(groups.items()))
        print(f"{name}, median and largest ratio: {'; '.join(shown)}")


def escaping_gain(task: Task, corpus: Corpus, factor: float) -> None:
    """Print what the baseline gains by `factor` times the steps that its budget pays for, seed by seed."""
    paid = 'steps_paid_for(unit, amount, model, n_forwards, meta["work"])'
    edited = task.source.replace(f"else {paid}", f"else int({factor} * {paid})")
    if edited == task.source:
        sys.exit("the script does not say any more how many steps it is to do: change this benchmark")
    more = Task(task.folder, {**task.files, task.script: edited.encode()}, task.profile)
    sandbox = BubblewrapSandbox()
    gains = []
    for seed in range(N_SEEDS):
        losses = []
        for name, each in (("paid", task), ("more", more)):
            with tempfile.TemporaryDirectory() as scratch:
                paths, _ = trained(each, corpus, sandbox, Path(scratch) / name, seed)
                found = AuditedScorer(each, corpus, sandbox).score(
                    Artifact(paths.artifact, paths.files, "", paths.score, f"benchmark/{name}", seed, None)
                )
                if found.val_loss is None:
                    sys.exit(f"the score was refused: {found.reason}")
                losses.append(found.val_loss)
        gains.append(losses[0] - losses[1])
        print(f"seed {seed}: {losses[0]:.4f}, with {factor:g} times the steps {losses[1]:.4f}", flush=True)
    sandbox.close()
    sigmas = f", {mean(gains) / task.noise.sigma:.1f} sigma" if task.noise.sigma is not None else ""
    print(f"gain: {mean(gains):.4f} val_bpb ({min(gains):.4f} to {max(gains):.4f}){sigmas}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(SEEDS), default="idle")
    parser.add_argument("--configurations", type=int, default=200, help=f"in all, a multiple of {BATCH}")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--gain-of", type=float, metavar="FACTOR", help="measure only what so many times the steps gain"
    )
    options = parser.parse_args()
    known = list(csv.DictReader(options.table.open())) if options.table.exists() else []
    if not options.configurations and not options.gain_of:
        return summary(known)
    done = {int(row["batch"]) for row in known if row["kind"] == options.kind}
    task, corpus = bundled()
    if options.gain_of:
        return escaping_gain(task, corpus, options.gain_of)
    for batch in range(options.configurations // BATCH):
        if batch in done:
            continue
        rows = measure(task, corpus, options.kind, batch)
        is_new = not options.table.exists()
        with options.table.open("a", newline="") as table:
            writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerows(rows)
        print(f"{options.kind}: batch {batch} of {options.configurations // BATCH}", flush=True)
    return summary(list(csv.DictReader(options.table.open())))


if __name__ == "__main__":
    main()
