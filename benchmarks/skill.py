"""What a model of known skill contributes to `centaur`: `python -m benchmarks.skill --seeds 20`.

Searches on the replayed paper (benchmarks/autoresearch), with stand-ins for the model (stand_ins.py). Prints for each
surrogate and host the difference of the best val_bpb to the host alone, paired by seed, with 95 % intervals.
"""

import argparse
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import get_args

import numpy as np

from agent.edits.edit import Params
from agent.modes.centaur.share import LLMTurns
from agent.trials.trial import Origin, Trial
from benchmarks.autoresearch import modes
from benchmarks.autoresearch.__main__ import interval
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.stand_ins import SKILLS, StandIn
from benchmarks.autoresearch.surrogate import Result, Surrogate, Variant

HOSTS = ("cma-es", "local-gp")
ALLOWED = 0.0015
"""A model does no harm if the upper end of its interval is at most this, the least that the surrogate resolves."""


@dataclass(frozen=True)
class Job:
    """One search."""

    variant: Variant
    host: str
    skill: str | None  # None: the host alone
    seed: int
    hours: float
    is_published: bool = False  # the form of the paper, in place of the product's


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    best: float
    curve: list[tuple[float, float]]  # seconds, best val_bpb so far
    counts: Counter[str]  # turns of the model, and what came of them


class PairedLedger(Ledger):
    """A search whose noise depends on seed and configuration, so that paired searches see the same loss for a point.

    In a search no configuration runs twice. Without this, one more trial shifts the noise of all that follow.
    """

    def draw(self, params: Params) -> Result:
        key = zlib.crc32(json.dumps(params, sort_keys=True).encode())
        return self.surrogate.run(params, np.random.default_rng([self.seed, key]))


@cache
def _surrogate(variant: Variant) -> Surrogate:
    return Surrogate(variant)


def search(job: Job) -> Found:
    """Run one search."""
    surrogate = _surrogate(job.variant)
    ledger = PairedLedger(surrogate, job.seed, job.hours * 3600)
    if job.skill is None:
        trials = modes.search(job.host, job.seed, ledger)
    else:
        name = modes.PUBLISHED if job.is_published else "centaur"
        mode = name + (modes.ON_LOCAL_GP if job.host == "local-gp" else "")
        model = StandIn(job.skill, surrogate, job.seed)
        trials = modes.search(mode, job.seed, ledger, model, LLMTurns(job.seed))
    return Found(ledger.best, ledger.curve, _counts(trials))


def _counts(trials: Sequence[Trial]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for trial in trials:
        if trial.proposal.usage is None:
            continue
        is_own = trial.proposal.origin is Origin.LLM and trial.status is not None and trial.status.ran
        counts["turns"] += 1
        counts["ran"] += is_own
        counts["kept"] += is_own and trial.kept
        counts["unscreened"] += trial.proposal.offer is not None and not trial.proposal.offer.is_screened
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--models", default=",".join(SKILLS), help=f"of {', '.join(SKILLS)}")
    parser.add_argument("--published", default="adversary,strong", help="models that the published form is run with")
    parser.add_argument("--hosts", default=",".join(HOSTS), help=f"of {', '.join(HOSTS)}")
    parser.add_argument("--variants", default="gp,avg", help=f"of {', '.join(get_args(Variant))}")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: an interval needs 2")
    skills, published, hosts, variants = (
        [name for name in getattr(arguments, option).split(",") if name]
        for option in ("models", "published", "hosts", "variants")
    )
    for name, known in [*((s, tuple(SKILLS)) for s in (*skills, *published)), *((h, HOSTS) for h in hosts)]:
        if name not in known:
            parser.error(f"there is no {name}; there are {', '.join(known)}")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    with ProcessPoolExecutor(arguments.processes) as pool:
        for variant in variants:
            for host in hosts:
                rows: list[tuple[str | None, bool]] = [(None, False), *((s, False) for s in skills)]
                rows += [(s, True) for s in published if host == "cma-es"]
                jobs = [
                    Job(variant, host, skill, seed, arguments.hours, is_published)
                    for skill, is_published in rows
                    for seed in seeds
                ]
                found = list(pool.map(search, jobs, chunksize=2))
                by_row = [found[i : i + len(seeds)] for i in range(0, len(found), len(seeds))]
                _print(variant, host, dict(zip(rows, by_row, strict=True)))


def _print(variant: str, host: str, found: dict[tuple[str | None, bool], list[Found]]) -> None:
    alone = np.array([each.best for each in found[None, False]])
    print(f"\n### {host}, surrogate {variant}: {alone.mean():.4f} ± {alone.std():.4f} alone, {len(alone)} seeds")
    print(f"| model | minus {host} | 95 % interval | turns | of its points ran | unscreened | kept |")
    print("|---|---|---|---|---|---|---|")
    for (skill, is_published), searches in found.items():
        if skill is None:
            continue
        difference = np.array([each.best for each in searches]) - alone
        mean, half = difference.mean(), interval(difference)
        mark = "" if mean + half <= ALLOWED else " *"
        counts = sum((each.counts for each in searches), Counter[str]())
        per_search = [counts[key] / len(searches) for key in ("turns", "ran", "unscreened", "kept")]
        name = f"{skill}, published form" if is_published else skill
        print(
            f"| {name} | {mean:+.4f} | {mean - half:+.4f} to {mean + half:+.4f}{mark} | "
            + " | ".join(f"{value:.1f}" for value in per_search) + " |",
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
