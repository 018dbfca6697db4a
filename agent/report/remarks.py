"""What people and their agents add to a run, as lines for people."""

from agent.text import one_line
from agent.trials.steering import BudgetRaised, PersonMessage, Remark, SubmissionRefused


def remark_line(remark: Remark) -> str:
    """Return a remark as one printable line."""
    match remark:
        case PersonMessage():
            return f"message before trial {remark.number}: {one_line(remark.text)}"
        case SubmissionRefused():
            return f"refused, no trial: {one_line(remark.title)}: {one_line(remark.reason)}"
        case BudgetRaised():
            caps = ", ".join(f"{name} {value:g}" for name, value in remark.caps.items())
            return f"raised before trial {remark.number}: {caps}"
