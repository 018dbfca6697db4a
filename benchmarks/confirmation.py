"""Cost of confirming a gain on a slice, compared with a second audited score: `python -m benchmarks.confirmation`.

Trains the bundled script under three seeds, for baseline, champion and challenger. Then it measures three ways of
scoring, interleaved so that load affects them equally: the challenger with all audits, as without slices; the
challenger with one audit, as with slices; and all three models on a slice. These slices do not count as opened by any
run. Takes about five minutes on two cores, after `agent prepare --pool`.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, CHAMPION
from agent.trials.trial import Score
from benchmarks.bundled_models import Asking, bundled, pool_of, trained
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox


@dataclass(frozen=True)
class Cost:
    """The cost of one way of scoring, in seconds."""

    cpu: float  # of its jobs
    host: float  # CPU of this process
    wall: float

    @property
    def all_cpu(self) -> float:
        return self.cpu + self.host


def cost_of(work: Callable[[], float]) -> Cost:
    """Return the cost of calling `work`, which returns the CPU seconds of its jobs."""
    cpu, wall = time.process_time(), time.monotonic()
    jobs = work()
    return Cost(jobs, time.process_time() - cpu, time.monotonic() - wall)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in ("cpu", "host", "wall")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    task, corpus = bundled()
    pool = pool_of(task)
    sandbox = BubblewrapSandbox()
    scorer = AuditedScorer(task, corpus, sandbox)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        made = [trained(task, corpus, sandbox, root / f"seed-{seed}", seed) for seed in range(3)]
        models = [paths for paths, _ in made]
        baseline: list[Score] = []

        def scored(model: int, to_beat: float | None) -> float:
            paths = models[model]
            artifact = Artifact(paths.artifact, paths.files, "", paths.score, f"benchmark/{model:04d}", model, to_beat)
            baseline.append(scorer.score(artifact))
            return sum(
                float(job["cpu_seconds"])
                for job in json.loads((paths.score / "audit.json").read_text(encoding="utf-8"))["jobs"]
            )

        def on_slice(number: int) -> float:
            found, answers = Asking(task, corpus, pool, sandbox, models, baseline[0]).slice(
                number, root / f"slice-{number}"
            )
            leads = {f"{a} - {b}": answers.lead([a], b) for a, b in ((CHAMPION, BASELINE), (CHALLENGER, CHAMPION))}
            print(f"slice {number}: " + "; ".join(f"{k} {v.mean:+.4f} ± {v.error:.4f}" for k, v in leads.items()))
            return sum(float(job["cpu_seconds"]) for job in found.jobs)

        cost_of(lambda: scored(0, None))  # the baseline's cost limits the time of a slice; this also warms the caches
        ways: dict[str, list[Cost]] = {}
        several = f"claim and {1 + task.score.rounds} audits of one model"
        for number in range(options.times):
            ways.setdefault(several, []).append(cost_of(lambda: scored(2, math.inf)))
            ways.setdefault("claim and 1 audit of one model", []).append(cost_of(lambda: scored(2, None)))
            ways.setdefault("a slice, three models", []).append(cost_of(lambda n=number: on_slice(n)))  # type: ignore[misc]
    sandbox.close()
    show(ways, several, [execution.cpu_seconds or math.nan for _, execution in made])
    print(f"{pool.n_sequences} sequences in {pool.n_rounds} rounds; load {os.getloadavg()[0]:.1f}")


def show(ways: dict[str, list[Cost]], several: str, training: Sequence[float]) -> None:
    """Print the medians, and each way's cost relative to the fully audited score of the same round."""
    print(f"\n| way | CPU s, jobs | CPU s, host | wall s | CPU relative to '{several}' |\n|---|---|---|---|---|")
    for name, costs in ways.items():
        middle = median(costs)
        ratio = statistics.median(
            cost.all_cpu / other.all_cpu for cost, other in zip(costs, ways[several], strict=True)
        )
        print(f"| {name} | {middle.cpu:.1f} | {middle.host:.1f} | {middle.wall:.1f} | {ratio:.2f} |")
    sums = [one.all_cpu + a.all_cpu for one, a in zip(*list(ways.values())[1:], strict=True)]
    ratio = statistics.median(new / old.all_cpu for new, old in zip(sums, ways[several], strict=True))
    print(
        f"\nA confirmation on a slice, with its claim and 1 audit, costs {ratio:.2f} times the scoring without slices,"
    )
    own = statistics.mean(training)
    all_in = statistics.median((own + new) / (own + old.all_cpu) for new, old in zip(sums, ways[several], strict=True))
    print(f"and {all_in:.2f} times including the challenger's training ({own:.1f} CPU s).")


if __name__ == "__main__":
    main()
