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

    said: str  # in words, for a sentence "needs …"
    fewest: int  # numbers per example
    most: int | None
    of_classes: bool  # True: labels are integers from 0 on; False: labels are real numbers


CLASSES = Outputs("two outputs or more, one per class", 2, None, of_classes=True)
TWO_CLASSES = Outputs("one or two outputs, for two classes", 1, 2, of_classes=True)
NUMBER = Outputs("one output, the predicted number", 1, 1, of_classes=False)


@dataclass(frozen=True)
class Measure:
    """A row of MEASURES."""

    goal: Literal["minimise", "maximise"]
    outputs: Outputs
    varied: bool = False  # it is undefined if all labels are equal


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("maximise", CLASSES),
    "top_k_accuracy": Measure("maximise", CLASSES),
    "f1": Measure("maximise", CLASSES, varied=True),
    "auc": Measure("maximise", TWO_CLASSES, varied=True),
    "log_loss": Measure("minimise", CLASSES),
    "mean_squared_error": Measure("minimise", NUMBER),
    "mean_absolute_error": Measure("minimise", NUMBER),
    "r2": Measure("maximise", NUMBER, varied=True),
}
