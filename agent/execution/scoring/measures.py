"""The measures that the host computes from predictions and labels; agent.task.measure_table has their rows.

Shapes: N examples with C outputs each, finite float64 (N, C); labels of classes are int64 (N,), others float64 (N,).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.task.measure_table import MEASURES
from agent.task.spec import ScoreSpec

Outputs = NDArray[np.float64]
Labels = NDArray[Any]
Rows = NDArray[np.float64]  # (N,)
_LARGEST = float(np.finfo(np.float32).max)  # an output is a float32


def measured(score: ScoreSpec, outputs: Outputs, labels: Labels) -> float:
    """Return the measure that task.toml declares; `labels` are from `checked_labels`."""
    rows = by_example(score, outputs, labels)
    return float(rows.mean()) if rows is not None else _OTHERS[score.measure or ""](outputs, labels)


def by_example(score: ScoreSpec, outputs: Outputs, labels: Labels) -> Rows | None:
    """Return the value of each example, shape (N,), if the measure is their mean; None if it is no mean."""
    function = _ROWS.get(score.measure or "")
    options = () if score.top_k is None else (score.top_k,)
    return function(outputs, labels, *options) if function is not None else None


def checked_labels(score: ScoreSpec, n_outputs: int, labels: Labels) -> Labels:
    """Return the labels of a split in the form that the measures take.

    Raises:
        ValueError: the measure cannot be computed from them or from so many outputs; the message says why.
    """
    name = score.measure or ""
    row = MEASURES[name]
    if n_outputs < row.outputs.fewest or n_outputs > (row.outputs.most or n_outputs):
        raise ValueError(f"{name} needs {row.outputs.description}, and meta.json says n_outputs = {n_outputs}")
    if score.top_k is not None and score.top_k >= n_outputs:
        raise ValueError(f"top_k = {score.top_k} of {n_outputs} classes is always right; choose a lower one")
    if labels.ndim != 1 or len(labels) == 0 or labels.dtype.kind not in "biuf":
        found = f"{labels.dtype} of shape {labels.shape}"
        raise ValueError(f"labels must be numbers of shape (N,), one for each example, but are {found}")
    values = labels.astype(np.float64)
    wrong = values[~(np.abs(values) <= _LARGEST)]  # a NaN, too
    if row.outputs.of_classes:
        n_classes = max(n_outputs, 2)
        wrong = values[~((values >= 0) & (values < n_classes) & (values == np.floor(values)))]
        if len(wrong):
            raise ValueError(f"{name} takes whole numbers from 0 to {n_classes - 1} as labels, but one is {wrong[0]:g}")
    elif len(wrong):
        raise ValueError(f"{name} takes labels that a float32 can hold, but one is {wrong[0]:g}")
    as_answered = values.astype(np.float32)
    if row.varied and (as_answered == as_answered[0]).all():
        raise ValueError(f"{name} needs labels that differ as float32, but all are {values[0]:g}")
    return values.astype(np.int64) if row.outputs.of_classes else values


def accuracy(outputs: Outputs, labels: Labels) -> Rows:
    """Return 1 for each example whose largest output is the label's, else 0; of equal outputs the first one counts."""
    return np.asarray(outputs.argmax(axis=1) == labels, np.float64)


def top_k_accuracy(outputs: Outputs, labels: Labels, k: int) -> Rows:
    """Return 1 for each example whose label is among the k largest outputs, else 0.

    Of equal outputs the one of the first class counts as larger: k = 1 is `accuracy`, and a model with the same output
    for all classes is right about k of them only. (scikit-learn takes the last class.)
    """
    own = outputs[np.arange(len(labels)), labels][:, np.newaxis]  # (N, 1)
    before = np.arange(outputs.shape[1]) < labels[:, np.newaxis]  # (N, C)
    ranks = ((outputs > own) | ((outputs == own) & before)).sum(axis=1)  # (N,), from 0
    return np.asarray(ranks < k, np.float64)


def f1(outputs: Outputs, labels: Labels) -> float:
    """Return F1 = 2 TP / (2 TP + FP + FN) of class 1 if there are two classes, else its mean over the classes (macro).

    TP, FP and FN are the true positives, false positives and false negatives of a class. A class without labels and
    predictions does not count; one with only labels, or only predictions, has 0. This is scikit-learn's f1_score with
    average="binary" and "macro". (van Rijsbergen, Information Retrieval, 1979, chapter 7.)
    """
    n_classes = outputs.shape[1]
    predicted = outputs.argmax(axis=1)  # as for `accuracy`
    right = np.bincount(labels[predicted == labels], minlength=n_classes)  # (C,): TP
    there = np.bincount(labels, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)  # 2 TP + FP + FN
    of_class = 2 * right / np.maximum(there, 1)
    return float(of_class[1] if n_classes == 2 else of_class[there > 0].mean())


def auc(outputs: Outputs, labels: Labels) -> float:
    """Return the area under the ROC curve: how often an example of class 1 has a higher value than one of class 0.

    The value is the only output, or the second one less the first. Ties count half. (Hanley and McNeil, Radiology 143,
    1982: the area is the statistic of Mann and Whitney over the number of pairs.)
    """
    values = outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]
    zeros, ones = np.sort(values[labels == 0]), values[labels == 1]
    lower = np.searchsorted(zeros, ones, side="left")
    not_higher = np.searchsorted(zeros, ones, side="right")
    return float((lower + not_higher).mean() / (2 * len(zeros)))


def log_loss(outputs: Outputs, labels: Labels) -> Rows:
    """Return -ln p(label) of each example in nats, p = softmax(outputs): the outputs are logits, normalised here."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    found: Rows = np.log(np.exp(shifted).sum(axis=1)) - chosen
    return found


def mean_squared_error(outputs: Outputs, labels: Labels) -> Rows:
    """Return (output - label)² of each example, in the label's unit squared."""
    return np.square(outputs[:, 0] - labels)


def mean_absolute_error(outputs: Outputs, labels: Labels) -> Rows:
    """Return |output - label| of each example, in the label's unit."""
    return np.abs(outputs[:, 0] - labels)


def r2(outputs: Outputs, labels: Labels) -> float:
    """Return R² = 1 - Σ(output - label)² / Σ(label - mean label)²; predicting the split's mean gives 0.

    This is scikit-learn's r2_score: it is negative for a model that is worse than that mean.
    """
    return float(1 - np.square(outputs[:, 0] - labels).sum() / np.square(labels - labels.mean()).sum())


_ROWS: Mapping[str, Callable[..., Rows]] = {
    "accuracy": accuracy,
    "top_k_accuracy": top_k_accuracy,
    "log_loss": log_loss,
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
}  # measures that are means over examples
_OTHERS: Mapping[str, Callable[[Outputs, Labels], float]] = {"f1": f1, "auc": auc, "r2": r2}
