"""The paper's comparison on the surrogate: `python -m benchmarks.autoresearch --modes cma-es,peer:cma-es --seeds 20`.

Prints, for each variant of the surrogate, a table like the paper's, then paired differences with 95 % intervals. Modes
other than peers may end in +derived (the task's derived coordinates), +memory (the learned memory model) and +hints (a
start without gradient accumulation). `centaur` and `fixed` ask a model: --embedded, or --base-url and --model.
"""

import argparse
import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from agent.llm.model import Model
from agent.modes.centaur.share import LLMTurns
from benchmarks.autoresearch import modes
from benchmarks.autoresearch.ledger import Course, Ledger
from benchmarks.autoresearch.searched import Key, Searched, Store, in_words, program
from benchmarks.autoresearch.surrogate import Surrogate, Variant

HOURS = (1, 2, 4, 8, 16, 24)
PAPER_LEVEL = 0.9763  # the paper's best hybrid after 24 h
DEFAULT_MODES = (
    "cma-es,peer:cma-es,local,cma-es+derived,cma-es+derived+memory,local+derived,local+derived+memory,random"
)

Rows = dict[str, list[Course]]


@dataclass(frozen=True)
class Setting:
    """Settings shared by all modes: budget, seeds, the model to ask, and the trials on which a hybrid asks it."""

    seeds: range
    hours: float
    model: Model | None
    turns: LLMTurns
    store: Store
    program: str = field(default_factory=program)


def run(names: Sequence[str], variant: Variant, setting: Setting) -> Rows:
    """Return the courses of all seeds by mode; print a table row for each, and the outcomes of a model's trials."""
    surrogate = Surrogate(variant)
    rows: Rows = {}
    notes: list[str] = []
    print(f"\n### variant {variant}, {len(setting.seeds)} seeds, {setting.hours:g} h")
    print(f"| mode | best | trials | OOM % | {' | '.join(f'{h} h' for h in HOURS)} | h to {PAPER_LEVEL} | s |")
    print("|---" * (len(HOURS) + 6) + "|")
    for name in names:
        started = time.perf_counter()
        turns: Counter[str] = Counter()
        rows[name] = []
        for seed in setting.seeds:
            searched = _search(name, Ledger(surrogate, seed, setting.hours * 3600), variant, setting)
            rows[name].append(searched.course)
            turns += searched.turns
            if turns:  # a search with a model takes hours, so report progress
                print(f"{name}, seed {seed}: {searched.course.best:.4f}; so far {in_words(turns)}", file=sys.stderr)
        print(_line(name, rows[name], setting.hours, time.perf_counter() - started), flush=True)
        if turns:
            notes.append(f"{name}: {in_words(turns)}")
    print("\n".join(["", *notes]), flush=True)
    return rows


def _search(mode: str, ledger: Ledger, variant: Variant, setting: Setting) -> Searched:
    """Return a finished search, from the store if it has it."""
    turns = replace(setting.turns, seed=ledger.seed)
    key = Key(setting.program, variant, mode, ledger.seed, ledger.budget_seconds / 3600)
    if modes.plain(mode) in (*modes.WITH_MODEL, modes.ECHO):
        share = f"every {turns.every}" if turns.every else f"{turns.share:g} after {turns.warmup}"
        model = setting.model.name if setting.model and modes.plain(mode) in modes.WITH_MODEL else None
        key = replace(key, model=model, turns=share)
    if (searched := setting.store.find(key)) is None:
        trials = modes.search(mode, ledger.seed, ledger, setting.model, turns)
        searched = Searched.of(ledger, trials)
        setting.store.add(key, searched)
    return searched


def _line(name: str, ledgers: list[Course], hours: float, seconds: float) -> str:
    best = np.array([ledger.best for ledger in ledgers])
    trials = np.mean([ledger.n_trials for ledger in ledgers])
    failed = 100 * np.mean([ledger.n_failed / ledger.n_trials for ledger in ledgers])
    curve = " | ".join(f"{np.mean([each.at(h) for each in ledgers]):.4f}" if h <= hours else "" for h in HOURS)
    # Reached on average: the hour when the mean curve passes the level.
    means = np.array([[each.at(h) for h in np.arange(0.1, hours + 0.05, 0.1)] for each in ledgers]).mean(axis=0)
    reached = f"{(np.argmax(means <= PAPER_LEVEL) + 1) / 10:.1f}" if (means <= PAPER_LEVEL).any() else "never"
    return (
        f"| {name} | {best.mean():.4f} ± {best.std():.4f} | {trials:.0f} | {failed:.1f} | {curve} | {reached} "
        f"| {seconds:.0f} |"
    )


def differences(rows: Rows, first: str) -> None:
    """Print each other mode minus `first`, paired by seed."""
    reference = rows[first]
    print(f"\n| minus {first} | mean | 95 % interval |\n|---|---|---|")
    for name, ledgers in rows.items():
        if name == first:
            continue
        paired = np.array([a.best - b.best for a, b in zip(ledgers, reference, strict=True)])
        half = interval(paired)
        print(f"| {name} | {paired.mean():+.4f} | {paired.mean() - half:+.4f} to {paired.mean() + half:+.4f} |")


def interval(sample: NDArray[np.float64]) -> float:
    """Return half of the 95 % interval of the mean, by Student's t (Abramowitz and Stegun, 26.7.5: 1 % off for 3)."""
    z, nu = 1.959964, len(sample) - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
    t += (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * nu**4)
    return t * float(sample.std(ddof=1)) / math.sqrt(len(sample))


def plot(rows: Rows, hours: float, path: Path, title: str) -> None:
    """Draw best val_bpb against hours, mean over seeds: a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    quarters = np.arange(0.25, hours + 0.01, 0.25)
    for name, courses in rows.items():
        axes.plot(quarters, np.mean([[course.at(h) for h in quarters] for course in courses], axis=0), label=name)
    axes.axhline(PAPER_LEVEL, color="grey", linestyle=":", label="the paper's best after 24 h")
    axes.set(xscale="log", xlabel="hours of training charged", ylabel="best val_bpb, mean over seeds", title=title)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=DEFAULT_MODES, help="separated by commas; the first is the reference")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--variants", default="gp,avg", help=f"of {', '.join(get_args(Variant))}")
    parser.add_argument("--minus", help="reference modes for differences; by default the first mode")
    parser.add_argument("--embedded", action="store_true", help="ask the small model that comes with the package")
    parser.add_argument("--base-url", help="ask the model of an endpoint; its key is read from OPENAI_API_KEY")
    parser.add_argument("--model", help="the model's name at the endpoint")
    parser.add_argument("--llm-share", type=float, default=0.3)
    parser.add_argument("--llm-warmup", type=int, default=10)
    parser.add_argument("--llm-every", type=int)
    parser.add_argument(
        "--store", type=Path, help="file that stores every finished search; stored searches do not run again"
    )
    parser.add_argument("--plot", type=Path, help="folder for one PNG per variant; needs matplotlib")
    arguments = parser.parse_args()
    names, variants = arguments.modes.split(","), arguments.variants.split(",")
    minus = arguments.minus.split(",") if arguments.minus else names[:1]
    try:
        for name in names:
            modes.check(name)
        store = Store(arguments.store)
    except (ValueError, OSError) as fault:
        parser.error(str(fault))
    if unknown := set(minus) - set(names):
        parser.error(f"--minus {unknown.pop()}: it is not among --modes")
    if unknown := set(variants) - set(get_args(Variant)):
        parser.error(f"there is no variant {unknown.pop()}")
    warnings.filterwarnings("ignore", module="optuna")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    turns = LLMTurns(0, arguments.llm_share, arguments.llm_warmup, arguments.llm_every)
    with ExitStack() as stack:
        model = _model(arguments.embedded, arguments.base_url, arguments.model)
        if model is not None:
            stack.callback(model.close)
        elif asking := [name for name in names if modes.plain(name) in modes.WITH_MODEL]:
            parser.error(f"mode {asking[0]} asks a model: give --embedded, or --base-url and --model")
        for variant in variants:
            rows = run(names, variant, Setting(seeds, arguments.hours, model, turns, store))
            for first in minus if len(names) > 1 and arguments.seeds > 1 else ():
                differences(rows, first)
            if arguments.plot:
                title = f"surrogate {variant}, {arguments.seeds} seeds"
                plot(rows, arguments.hours, arguments.plot / f"autoresearch-{variant}.png", title)


def _model(embedded: bool, base_url: str | None, name: str | None) -> Model | None:
    """Return the model to ask; None if the options name none."""
    if embedded:
        from agent.llm.local_model import LocalModel

        return LocalModel()
    if base_url is None:
        return None
    from agent.llm.openai_model import OpenAIModel

    return OpenAIModel(name or "default", base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY"))


if __name__ == "__main__":
    main()
