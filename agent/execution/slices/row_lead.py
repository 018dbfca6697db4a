"""The lead of models over others on a slice of examples, with its standard error."""

import math
from collections.abc import Sequence

import numpy as np

from agent.execution.scoring.measures import Labels, Outputs, by_example, measured
from agent.task.spec import ScoreSpec
from agent.trials.keeping.noise import Lead
from agent.trials.metric import Metric

SHARES = ("accuracy", "top_k_accuracy")  # measures that are a share of examples: those that a model gets right
N_GROUPS = 100  # of a jackknife: its error is itself wrong by 7 %, as a standard deviation of 100 numbers is


def row_lead(
    score: ScoreSpec, metric: Metric, better: Sequence[Outputs], worse: Sequence[Outputs], labels: Labels
) -> Lead:
    """Return the paired lead of the mean loss of some models over that of others.

    A measure that is a mean over N examples gives N differences d, and the lead's standard error is their standard
    deviation over √N. If it is a share of examples, Σ (d - mean)² is raised by 1: models that agree on the whole slice
    may still differ elsewhere (Agresti and Min, Statistics in Medicine 24, 2005, page 729). For other measures the
    error is the delete-a-group jackknife: the examples are dealt into G groups, d[g] is the lead without group g, and

        error² = (G - 1) / G · Σ (d[g] - mean d)²

    (Kott, The delete-a-group jackknife, Journal of Official Statistics 17, 2001, page 521). Where labels are classes,
    each class is dealt out evenly, so that no group takes all examples of a rare class away.

    Args:
        better: outputs of each of these models, (N, C).
        worse: outputs of the others; the lead is positive if their loss is higher.
        labels: shape (N,), as `checked_labels` returns them; in random order, as slices are.
    """
    n_better = len(better)
    rows = [by_example(score, outputs, labels) for outputs in (*better, *worse)]
    found = [metric.to_loss(1.0) * row for row in rows if row is not None]
    if found:
        differences = np.mean(found[n_better:], axis=0) - np.mean(found[:n_better], axis=0)
        squares = float(np.square(differences - differences.mean()).sum()) + (score.measure in SHARES)
        return Lead(float(differences.mean()), math.sqrt(squares / (len(labels) * (len(labels) - 1))))

    def lead(kept: Labels) -> float:
        losses = [metric.to_loss(measured(score, outputs[kept], labels[kept])) for outputs in (*better, *worse)]
        return float(np.mean(losses[n_better:]) - np.mean(losses[:n_better]))

    n_groups = min(N_GROUPS, len(labels))
    order = np.argsort(labels, kind="stable") if labels.dtype.kind == "i" else np.arange(len(labels))
    group = np.empty(len(labels), np.int64)
    group[order] = np.arange(len(labels)) % n_groups
    without = np.array([lead(group != g) for g in range(n_groups)])
    error = math.sqrt((n_groups - 1) / n_groups * float(np.square(without - without.mean()).sum()))
    return Lead(lead(np.ones(len(labels), bool)), error)
