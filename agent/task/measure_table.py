"""The measures of `[score] kind = "predictions"`, one row each.

The functions of the same names are in agent.execution.scoring.measures. This table is separate so that task.toml is
checked without importing numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outputs:
    """The outputs that a model must give for each example."""

    description: str  # in words, for a sentence "needs …"
    fewest: int  # numbers per example
    most: int | None
    of_classes: bool  # True: labels are integers from 0 on; False: labels are real numbers


CLASSES = Outputs("two outputs or more, one per class", 2, None, of_classes=True)
TWO_CLASSES = Outputs("one or two outputs, for two classes", 1, 2, of_classes=True)
NUMBER = Outputs("one output, the predicted number", 1, 1, of_classes=False)


@dataclass(frozen=True)
class PredictionMeasure:
    """A row of MEASURES."""

    goal: Literal["minimise", "maximise"]
    outputs: Outputs
    varied: bool = False  # it is undefined if all labels are equal


MEASURES: Mapping[str, PredictionMeasure] = {
    "accuracy": PredictionMeasure("maximise", CLASSES),
    "top_k_accuracy": PredictionMeasure("maximise", CLASSES),
    "f1": PredictionMeasure("maximise", CLASSES, varied=True),
    "auc": PredictionMeasure("maximise", TWO_CLASSES, varied=True),
    "log_loss": PredictionMeasure("minimise", CLASSES),
    "mean_squared_error": PredictionMeasure("minimise", NUMBER),
    "mean_absolute_error": PredictionMeasure("minimise", NUMBER),
    "r2": PredictionMeasure("maximise", NUMBER, varied=True),
}
