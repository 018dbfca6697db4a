"""A night of edits: `centaur-code`, `code-edit` and `local-gp` at the same number of trials, and their final losses.

    python -m benchmarks.edits_night --runs DIR              # makes what is missing there, then prints the tables
    python -m benchmarks.edits_night --runs DIR --trials 24 --seeds 3 --modes code-edit,local-gp,centaur-code
    python -m benchmarks.edits_night --runs DIR --start tuned    # from numbers that a search has tuned

A stand-in for a model serves the hand-written edits of `examples/edits-night/`, in an order that the seed decides. All
else is real: prompts, endpoint, edits, sandbox, training, score, keep rule. Each run's result is trained again under
three seeds that no decision has seen, the same for all runs; only these losses are compared. Runs that were cut off are
removed and made again, with the same losses: the budget is modelled work, and nothing depends on the clock.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from agent.analysis.comparison_statistics import of_run
from agent.modes.registry import mode_named
from agent.resources import folder
from agent.run.ending import RunState
from agent.store.paths import RunsFolder
from agent.store.run_config import in_a_name
from agent.store.stored_run import StoredRun
from agent.trials.keeping.keep_rule import HELD_OUT_SEED
from agent.trials.keeping.noise import MeanEstimate
from benchmarks.edits_night.edits import FOLDER
from benchmarks.edits_night.stand_in import serving

PROFILE = "edits-night"
FINAL_SEEDS = range(HELD_OUT_SEED, HELD_OUT_SEED + 3)
MODES = "code-edit,local-gp,centaur-code"
STARTS = ("untuned", "tuned")


@dataclass(frozen=True)
class Finished:
    """One run that has ended."""

    seed: int
    loss: float  # of its result, mean over FINAL_SEEDS
    best: float  # lowest loss of a kept trial under the seed of the search: selected, so biased
    calls: int  # of the model
    kept: int  # kept trials, by whether the model wrote them
    kept_of_model: int
    minutes: float  # wall time


def make_task(place: Path, start: str, text: str | None) -> Path:
    """Write the bundled task with the profile of this benchmark.

    Args:
        place: folder for it.
        start: one of STARTS, the numbers of the baseline.
        text: files in place of the downloaded corpus.
    """
    task = place / f"task-{start}"
    shutil.copytree(folder("train_template"), task, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    profile = (FOLDER / "profile.toml").read_text(encoding="utf-8")
    if text is not None:
        profile = profile.replace('"--vocab"', f'"--text", {json.dumps(str(Path(text).resolve()))}, "--vocab"')
    with (task / "task.toml").open("a", encoding="utf-8") as file:
        file.write(profile + (FOLDER / f"{start}.toml").read_text(encoding="utf-8"))
    return task


def agent(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command `agent`, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def name_of(mode: str, seed: int, start: str) -> str:
    return f"night-{start}-{in_a_name(mode)}-s{seed}"


def search(name: str, mode: str, seed: int, n_trials: int, runs: RunsFolder, *, task: Path, url: str) -> None:
    """Make one run, unless it has ended already. A run that was cut off is removed first."""
    if runs.run(name).run_json.exists():
        stored = StoredRun.find(runs, name)
        if of_run(stored).state is RunState.DONE and stored.config_now.trials == n_trials:
            return
        agent("rm", name, "--yes", "--runs", str(runs.root))
    options = [
        "--task",
        str(task),
        "--profile",
        PROFILE,
        "--mode",
        mode,
        "--seed",
        str(seed),
        "--trials",
        str(n_trials),
    ]
    options += [
        "--name",
        name,
        "--runs",
        str(runs.root),
        "--trust",
        "--no-prune",
        "--final-runs",
        str(len(FINAL_SEEDS)),
    ]
    if mode_named(mode).needs_model:
        options += ["--model", f"stand-in-{in_a_name(mode)}-s{seed}", "--base-url", url, "--no-smoke"]
    began, load = time.monotonic(), os.getloadavg()[0]
    done = agent("run", *options)
    if done.returncode != 0:
        sys.exit(f"{name} ended with exit code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    minutes = (time.monotonic() - began) / 60
    print(f"{name}: {minutes:.1f} min, load {load:.0f} to {os.getloadavg()[0]:.0f}", flush=True)


def baseline_loss(runs: RunsFolder, name: str, start: str) -> float:
    """Return the mean loss of a run's baseline under FINAL_SEEDS. Final runs leave it out, so it is replayed, once."""
    file = runs.root / f"baseline-{start}.json"
    known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for seed in FINAL_SEEDS:
        if str(seed) not in known:
            done = agent("replay", f"{name}/0", "--seed", str(seed), "--json", "--trust", "--runs", str(runs.root))
            if not done.stdout:
                sys.exit(f"the baseline could not be replayed:\n{done.stderr[-2000:]}")
            known[str(seed)] = json.loads(done.stdout)["outcome"]["val_loss"]
            file.write_text(json.dumps(known), encoding="utf-8")
    return mean(known[str(seed)] for seed in FINAL_SEEDS)


def read(runs: RunsFolder, mode: str, seed: int, start: str) -> Finished:
    """Return what one run came to."""
    stored = StoredRun.find(runs, name_of(mode, seed, start))
    figures, result = of_run(stored), stored.keeper.result
    assert result is not None
    assert figures.best is not None
    if result == 0:
        loss = baseline_loss(runs, stored.run_id, start)
    else:
        losses = stored.keeper.losses(result)
        loss = mean(losses[each] for each in FINAL_SEEDS if each in losses)
    usage, kept = figures.ledger.usage, [trial for trial in stored.history.trials[1:] if trial.kept]
    return Finished(
        seed=seed,
        loss=loss,
        best=figures.best,
        calls=usage.calls if usage else 0,
        kept=len(kept),
        kept_of_model=sum(trial.proposal.usage is not None for trial in kept),
        minutes=figures.ledger.wall_seconds / 60,
    )


def tables(found: Mapping[str, Sequence[Finished]], baseline: float) -> str:
    """Return the tables, in Markdown."""
    seeds = [each.seed for each in next(iter(found.values()))]
    lines = [
        f"baseline: {baseline:.4f} val_bpb; all losses are means over training seeds {list(FINAL_SEEDS)}",
        "",
        f"| mode | mean | {' | '.join(f'seed {seed}' for seed in seeds)} | model calls | kept (model's) | minutes |",
        f"|---|---|{'---|' * len(seeds)}---|---|---|",
    ]
    for mode, runs in found.items():
        losses = " | ".join(f"{each.loss:.4f}" for each in runs)
        calls, kept = (", ".join(str(number) for number in numbers) for numbers in (
            [each.calls for each in runs], [f"{each.kept} ({each.kept_of_model})" for each in runs]))  # fmt: skip
        minutes = ", ".join(f"{each.minutes:.0f}" for each in runs)
        lines.append(f"| `{mode}` | {mean(each.loss for each in runs):.4f} | {losses} | {calls} | {kept} | {minutes} |")
    lines += ["", "| difference, paired by seed | mean | 95 % interval |", "|---|---|---|"]
    modes = list(found)
    for at, mode in enumerate(modes):
        for other in modes[:at]:
            pairs = zip(found[mode], found[other], strict=True)
            estimate = MeanEstimate.of([one.loss - two.loss for one, two in pairs])
            interval = "one seed" if estimate.half is None else f"{estimate.low:+.4f} to {estimate.high:+.4f}"
            lines.append(f"| `{mode}` minus `{other}` | {estimate.mean:+.4f} | {interval} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs, of the task and of its data")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each mode (default: 3)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--trials", type=int, default=24, help="of each run, baseline included (default: 24)")
    parser.add_argument("--start", choices=STARTS, default=STARTS[0], help="numbers of the baseline (default: untuned)")
    parser.add_argument("--modes", default=MODES, help=f"default: {MODES}")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default: 1)")
    parser.add_argument("--text", help="text files to train on, in place of the downloaded documentation")
    given = parser.parse_args()
    place = given.runs.resolve()
    task, runs = make_task(place, given.start, given.text), RunsFolder(place / "runs")
    modes, seeds = given.modes.split(","), range(given.first_seed, given.first_seed + given.seeds)
    prepared = agent("prepare", "--task", str(task), "--profile", PROFILE, "--trust")
    if prepared.returncode != 0:
        sys.exit(prepared.stderr or prepared.stdout)
    with serving() as (url, stand_in), ThreadPoolExecutor(given.jobs) as pool:
        wanted = [(mode, seed) for seed in seeds for mode in modes]
        searches = [
            pool.submit(search, name_of(mode, seed, given.start), mode, seed, given.trials, runs, task=task, url=url)
            for mode, seed in wanted
        ]
        for one in searches:
            one.result()
        calls: Counter[str] = stand_in.calls
    found = {mode: [read(runs, mode, seed, given.start) for seed in seeds] for mode in modes}
    print(f"calls that the stand-in counted in this process: {dict(sorted(calls.items()))}")
    first = name_of(modes[0], seeds[0], given.start)
    print(tables(found, baseline_loss(runs, first, given.start)))


if __name__ == "__main__":
    main()
