"""The measures of `[score] kind = "predictions"`, one row each; the function of that name computes it.

The functions are in agent.execution.scoring.measures. This table needs no numpy, so that task.toml is checked without.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outputs:
    """What a model answers for each example."""

    said: str  # in a sentence: "needs …"
    fewest: int  # numbers an example
    most: int | None
    of_classes: bool  # labels are whole numbers from 0 on; else they are any numbers


CLASSES = Outputs("two outputs or more, one a class", 2, None, of_classes=True)
TWO_CLASSES = Outputs("one or two outputs, for two classes", 1, 2, of_classes=True)
NUMBER = Outputs("one output, the predicted number", 1, 1, of_classes=False)


@dataclass(frozen=True)
class Measure:
    """A row."""

    goal: Literal["minimise", "maximise"]
    outputs: Outputs
    varied: bool = False  # it says nothing where all labels are the same


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
