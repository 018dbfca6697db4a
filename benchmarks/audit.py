"""What the audit of a score detects, what it costs, and what escapes it: `python -m benchmarks.audit`.

Trains the bundled task's baseline once, lets it claim its losses, and audits them in `--rounds` rounds. From these
losses it computes a forger's possible gain, exactly and by drawing positions as the audit does. If the pool exists,
models of the baseline under three seeds answer on a slice too, and the sampling error measured there is used to
simulate how much a script that is no better gains by luck.
"""

import argparse
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.cli.options import cache_folder
from agent.execution.scoring.audit import NEAR_THE_END, Differences, compare, draw, objection
from agent.execution.scoring.audit_jobs import AuditJobs
from agent.execution.scoring.scorer import Artifact
from agent.execution.slices.text_slices import TextAnswers
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.pool import find_pool
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, CHAMPION
from benchmarks.bundled_models import Asking, bundled, trained
from benchmarks.forged_tests import heir_leads
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Execution, Sandbox

SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
ROUNDS = (1, 2, 3, 4, 5, 9, 17)
ESCAPES = 0.01  # probability that a forgery escapes
LONG_TRIAL_SECONDS = 300.0

Losses = NDArray[np.float64]  # nats, shape (N, T)
Forged = NDArray[np.bool_]  # shape (N, T)


@dataclass(frozen=True)
class Measured:
    """An honest model: its losses, the results of their audits, and the cost."""

    paths: TrialPaths
    losses: Losses  # nats, shape (N, T)
    rounds: list[Differences]
    trained: Execution
    jobs: list[dict[str, Any]]  # the claim, then the audits


def measure(task: Task, corpus: Corpus, sandbox: Sandbox, root: Path, n_rounds: int) -> Measured:
    """Train the baseline, claim its losses, and audit them `n_rounds` times."""
    paths, execution = trained(task, corpus, sandbox, root, 0)
    questions = AuditJobs(
        task, corpus, sandbox, Artifact(paths.artifact, paths.files, "", paths.score, "audit/0000", 0)
    )
    sequences = corpus.sequences("val")
    claimed = questions.claim(sequences)
    if isinstance(claimed, tuple):
        sys.exit(f"no claim: {claimed[1]}")
    rng = np.random.default_rng(0)  # the model is honest, so the positions need not be secret
    rounds = []
    for _ in range(n_rounds):
        drawn = draw(len(sequences), corpus.length, rng)
        logits = questions.audit(sequences, drawn)
        found = None if isinstance(logits, tuple) else compare(claimed, logits, sequences, drawn, corpus.token_bytes)
        if found is None:
            sys.exit("an audit of the honest model has no answer")
        rounds.append(found)
    return Measured(paths, claimed, rounds, execution, questions.jobs)


def escape(forged: Forged, n_rounds: int) -> float:
    """Return the exact probability that no forged position is drawn in `n_rounds`.

    One round is a Markov chain over the sequences: the position drawn in one decides whether the next is shown.
    """
    length = forged.shape[1]
    near = max(1, int(length * NEAR_THE_END))
    safe_far = 1 - (forged[:, :-near].sum(axis=1) + near) / length  # drawn far from the end, and not forged
    safe_near = (near - forged[:, -near:].sum(axis=1)) / length
    shown, left_out = 1.0, 0.0  # probabilities that nothing was drawn so far and the next sequence is shown, or not
    for far, close in zip(safe_far, safe_near, strict=True):
        shown, left_out = (
            shown * far + left_out * (1 - near / length),
            shown * close + left_out * near / length,
        )
    return float((shown + left_out) ** n_rounds)


def caught(losses: Losses, forged: Forged, n_rounds: int, n_draws: int, task: Task) -> float:
    """Return the share of `n_draws` audits, by the audit's own code, that reject losses of 0 at forged positions."""
    rng = np.random.default_rng(n_rounds)
    claimed = np.where(forged, 0.0, losses)
    n_caught = 0
    for _ in range(n_draws):
        rounds: list[Differences] = []
        for _ in range(n_rounds):
            drawn = draw(losses.shape[0], losses.shape[1], rng)
            at = drawn.sequences, drawn.positions
            rounds.append(Differences(drawn, losses[at], claimed[at], np.ones(len(at[0]), dtype=bool)))
            if objection(rounds[-1:], task.score.tol, task.score.tol_mean):
                n_caught += 1
                break
    return n_caught / n_draws


def largest_escape(gains: Losses, n_rounds: int) -> tuple[int, float]:
    """Return how many of the most profitable positions can be forged at `ESCAPES`, and the total gain in nats."""
    worst = np.argsort(-gains, axis=None)

    def forged(n_positions: int) -> Forged:
        mask = np.zeros(gains.size, dtype=bool)
        mask[worst[:n_positions]] = True
        return mask.reshape(gains.shape)

    low, high = 0, gains.size  # each further position makes escape less likely
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if escape(forged(middle), n_rounds) >= ESCAPES else (low, middle)
    return low, float(gains[forged(low)].sum())


def show_honest(measured: Measured, task: Task) -> None:
    rounds = measured.rounds
    rejected = sum(objection([found], task.score.tol, task.score.tol_mean) is not None for found in rounds)
    values = np.concatenate([found.values for found in rounds])
    largest, largest_mean = np.abs(values).max(), max(abs(found.values.mean()) for found in rounds)
    bound = 1 - 0.05 ** (1 / len(rounds))
    print(
        f"\nHonest model: {rejected} of {len(rounds)} audits rejected; if none: at most {bound:.0%} (95 % confidence)."
    )
    print(f"{len(values)} positions, standard deviation {values.std():.1e} nats. By this spread:")
    for name, value, tolerance in (
        ("difference", largest, task.score.tol),
        ("mean of a round", largest_mean, task.score.tol_mean),
    ):
        print(f"  largest {name:16} {value:.1e}; tolerance {tolerance:g}, {tolerance / value:,.0f} times that")


def show_detection(measured: Measured, task: Task, n_draws: int) -> None:
    rng = np.random.default_rng(1)
    many = 1 + task.score.rounds
    print(f"\nCaught, losses of 0 at positions taken at random; simulation of {n_draws} audits each.")
    print(f"{'forged':>8} {'positions':>10} {'1 round':>9} {'simulated':>10} {f'{many} rounds':>10} {'simulated':>10}")
    for share in SHARES:
        size = measured.losses.size
        chosen = rng.choice(size, size=round(share * size), replace=False)
        forged = np.isin(np.arange(size), chosen).reshape(measured.losses.shape)
        row = [
            chance
            for n_rounds in (1, many)
            for chance in (
                1 - escape(forged, n_rounds),
                caught(measured.losses, forged, n_rounds, n_draws, task),
            )
        ]
        print(f"{share:8.2%} {forged.sum():10} {row[0]:9.2%} {row[1]:10.2%} {row[2]:10.2%} {row[3]:10.2%}")


def show_escapes(measured: Measured, task: Task, corpus: Corpus) -> None:
    n_bytes = corpus.token_bytes[corpus.sequences("val")[:, 1:]]
    gains = np.where(n_bytes > 0, measured.losses, 0.0)
    bpb = 1 / math.log(2) / float(n_bytes.sum())  # of one nat, summed
    n_positions = float(np.mean([len(found.values) for found in measured.rounds]))
    print(f"\nThe largest forgery that escapes with probability {ESCAPES:.0%}: losses of 0 at the worst positions.")
    print(f"The honest val_bpb is {gains.sum() * bpb:.4f}.")
    print(
        "'by luck': differences of +tol and -tol at random, so that the mean of those drawn is too high 1 time of 100."
    )
    print(f"{'rounds':>7} {'forged':>7} {'val_bpb less':>13} {'in sigma':>9} {'by luck':>9}")
    for n_rounds in sorted({*ROUNDS, 1 + task.score.rounds}):
        n_forged, nats = largest_escape(gains, n_rounds)
        luck = 2.326 * task.score.tol / math.sqrt(n_rounds * n_positions) * float((n_bytes > 0).sum()) * bpb
        in_sigma = f"{nats * bpb / task.noise.sigma:9.2f}" if task.noise.sigma else f"{'unknown':>9}"
        print(f"{n_rounds:7} {n_forged:7} {nats * bpb:13.4f} {in_sigma} {luck:9.5f}")


def show_confirmed(answers: TextAnswers, task: Task, n_draws: int) -> None:
    """Print the gain of a script that is no better where slices decide; a forged claim does not help it there."""
    sigma = task.noise.sigma
    if not sigma:
        print("\nConfirmed gains are not simulated: the task's sigma is unknown.")
        return
    pairs = [(BASELINE, CHAMPION), (BASELINE, CHALLENGER), (CHAMPION, CHALLENGER)]
    error = float(np.mean([answers.lead([better], worse).error for better, worse in pairs]))
    noise = float(np.std(list(answers.losses.values()), ddof=1))
    print(
        f"\nConfirmed gains: no loss is claimed on a slice, and the host computes all of them from blind predictions.\n"
        f"Sampling error of a pair: {error:.4f} val_bpb, {error / sigma:.2f} sigma. The baseline's script under three\n"
        f"training seeds: standard deviation {noise:.4f} on the slice; the task's sigma is {sigma:g}.\n"
        f"A script that is no better, tested once, in {n_draws} simulated runs of the product's rule:"
    )
    print(f"{'seeds on slices':16} {'champion':>12} {'confirmed':>10} {'lead exceeded 1 time in 100, val_bpb':>42}")
    for name, scale in (("as thought", 1.0), ("as measured", noise / sigma)):
        for champion, dead in (("the baseline", None), ("honest", 0.0), ("plays dead", 3.0)):
            leads = np.array(heir_leads(error / sigma, n_draws, dead=dead, slice_noise=scale))
            largest = float(np.quantile(leads, 1 - ESCAPES)) * sigma
            print(f"{name:16} {champion:>12} {(leads > 0).mean():10.2%} {largest:42.4f}")


def show_cost(measured: Measured) -> None:
    assert measured.trained.cpu_seconds is not None
    trained = {"wall": measured.trained.wall_seconds, "cpu": measured.trained.cpu_seconds}
    print(f"\nCost, seconds (load {os.getloadavg()[0]:.1f}); the share of a trial's time that is score and audit.")
    print(f"{'clock':6} {'train':>7} {'claim':>7} {'a round':>8}", end="")
    print("".join(f"{f'{n} r.':>7}" for n in ROUNDS) + f"   1 round where training takes {LONG_TRIAL_SECONDS:g} s")
    for clock, train in trained.items():
        claim, *audits = (job[f"{clock}_seconds"] for job in measured.jobs)
        audit = float(np.median(audits))
        shares = [(claim + n * audit) / (train + claim + n * audit) for n in ROUNDS]
        at_300 = (claim + audit) / (LONG_TRIAL_SECONDS + claim + audit)
        print(f"{clock:6} {train:7.1f} {claim:7.1f} {audit:8.1f}", end="")
        print("".join(f"{share:7.0%}" for share in shares) + f"   {at_300:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="audits of the honest model, each in a sandbox")
    parser.add_argument("--draws", type=int, default=2000, help="simulated audits per row of the second table")
    arguments = parser.parse_args()
    task, corpus = bundled()
    pool = find_pool(task, cache_folder())
    sandbox = BubblewrapSandbox()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        measured = measure(task, corpus, sandbox, root / "seed-0", arguments.rounds)
        answers = None
        if pool is not None:
            models = [measured.paths, *(trained(task, corpus, sandbox, root / f"seed-{n}", n)[0] for n in (1, 2))]
            answers = Asking(task, corpus, pool, sandbox, models, None).slice(0, root / "slice")[1]
    sandbox.close()
    n, length = measured.losses.shape
    print(f"{task.name}, profile {task.profile}: {n} sequences of {length} tokens")
    show_honest(measured, task)
    show_detection(measured, task, arguments.draws)
    show_escapes(measured, task, corpus)
    show_cost(measured)
    if answers is None:
        print("\nConfirmed gains are not simulated: there is no pool; make it with `agent prepare --pool`.")
    else:
        show_confirmed(answers, task, arguments.draws)


if __name__ == "__main__":
    main()
