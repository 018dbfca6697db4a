"""Two workers against one on the bundled task: the same trials sooner, `python -m benchmarks.workers`.

Runs of `agent run --mode random` alternate between 1 and --workers workers. All must have the same losses, to the last
digit. Without --prune: which trials are stopped early depends on those that ended before. The wall time is that of the
whole command. Each job uses one processor, so the ratio means something only on a machine that is otherwise idle.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.store.journal import read_history
from agent.store.paths import RunsFolder

Losses = dict[int, float | None]


def run_seconds(runs: RunsFolder, name: str, workers: int, task: str | None, n_trials: int) -> tuple[float, Losses]:
    """Run one search; return its wall seconds, and the losses of its trials by number."""
    command = [sys.executable, "-m", "agent", "run", "--mode", "random", "--keep", "any", "--no-prune"]
    command += ["--workers", str(workers), "--trials", str(n_trials), "--runs", str(runs.root), "--name", name]
    command += ["--task", task] if task is not None else []
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    trials = read_history(runs.run(name).journal).trials
    assert len(trials) == n_trials, f"{name} has {len(trials)} trials"
    return seconds, {trial.number: trial.val_loss for trial in trials}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", help="folder of the task; the bundled task if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=17, help="of each run, with the baseline, which runs alone")
    parser.add_argument("--pairs", type=int, default=2, help="runs with one worker, and as many with several")
    given = parser.parse_args()
    found: dict[int, list[float]] = {1: [], given.workers: []}
    losses: list[Losses] = []
    with tempfile.TemporaryDirectory() as scratch:
        runs = RunsFolder(Path(scratch) / "runs")
        for pair in range(given.pairs):
            for workers, of_these in found.items():
                load = os.getloadavg()[0]
                name = f"{workers}-{pair}"
                seconds, of_run = run_seconds(runs, name, workers, given.task, given.trials)
                of_these.append(seconds)
                losses.append(of_run)
                print(
                    f"workers {workers}: {seconds:.1f} s for {given.trials} trials; load before: {load:.1f}", flush=True
                )
    different = [number for number in losses[0] if len({of_run[number] for of_run in losses}) > 1]
    print(f"trials whose losses differ between the runs: {', '.join(map(str, different)) or 'none'}")
    ratios = [one / several for one, several in zip(found[1], found[given.workers], strict=True)]
    print(
        f"1 worker takes {statistics.mean(ratios):.2f} times as long as {given.workers} "
        f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}); target 1.7 with 2 workers on 2 idle processors"
    )


if __name__ == "__main__":
    main()
