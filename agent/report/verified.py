"""What the test split said of a run's best trial, as `agent best --verify` leaves it in the run's folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.errors import JournalError
from agent.metric import Metric


@dataclass(frozen=True)
class Verified:
    """Losses on validation, which chose the trial, and on test, which did not; and the same of the baseline."""

    trial: int
    val_loss: float
    test_loss: float
    baseline_val_loss: float
    baseline_test_loss: float

    @property
    def gap(self) -> float:
        return self.test_loss - self.val_loss

    @property
    def baseline_gap(self) -> float:
        """What the two splits differ by anyway: no decision was made on the baseline."""
        return self.baseline_test_loss - self.baseline_val_loss

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "gap": self.gap, "baseline_gap": self.baseline_gap}

    def told(self, metric: Metric) -> str:
        """Return the numbers as lines for people."""
        val, test = metric.shown(self.val_loss), metric.shown(self.test_loss)
        gap, usual = metric.shown(self.gap), metric.shown(self.baseline_gap)
        return (
            f"on test: {metric.name} {test:.6f} (validation {val:.6f}, gap {gap:+.6f}; "
            f"the baseline's gap {usual:+.6f})\n"
            f"  the search has fitted itself to the validation split by about {gap - usual:+.6f}"
        )

    def save(self, path: Path) -> None:
        """Write this into the run's folder, in place of what an earlier look at the test split said."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_verified(path: Path) -> Verified | None:
    """Return what was saved last; None if nothing was. Raises JournalError if the file is none of ours."""
    try:
        return Verified(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise JournalError(f"{path} cannot be read: {error}; remove it, and run `agent best --verify` again") from error
