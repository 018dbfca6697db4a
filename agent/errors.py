"""One tree of errors. Each message says what happened, with which value, and what to do; users see it unchanged."""

from typing import ClassVar

EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "wrong usage or config",
    3: "budget spent",
    4: "the machine lacks something",
    130: "interrupted",
}
"""The exit codes of every command, in words."""


class AgentError(Exception):
    """An error that the user should read; `exit_code` is the exit code of the command."""

    exit_code: ClassVar[int] = 1


class UsageError(AgentError):
    """The command, the task or the configuration is wrong; nothing was started."""

    exit_code = 2


class TaskError(UsageError):
    """A task folder or its task.toml is invalid; the message names file and line."""


class UnsafeFileError(UsageError):
    """An untrusted folder holds something that no run writes: a link, a FIFO, a device, an oversized file."""


class BudgetSpentError(AgentError):
    """Nothing ran because the budget is spent."""

    exit_code = 3


class MissingRequirementError(AgentError):
    """The machine lacks something: a program, a package, data, a model endpoint."""

    exit_code = 4


class MachineError(AgentError):
    """This is not the machine that ran the baseline, or its speed cannot be measured; the run can be resumed."""


class JournalError(AgentError):
    """The journal cannot be read or written; nothing was changed."""


class RepoError(AgentError):
    """A git command failed."""


class TrackError(AgentError):
    """An experiment tracker could not be written to; the run is complete, and a later call catches up."""


class NotReplayableError(AgentError):
    """A recorded trial cannot be run again here, so there is no verdict on it."""

    exit_code = 4


class EditError(AgentError):
    """An edit does not apply; the message tells a model how to correct it."""


class ModelError(AgentError):
    """The model's endpoint failed for good; the run stops and can be resumed."""


class ModelBudgetSpentError(ModelError):
    """A cap on the tokens or the dollars of a run's model calls is reached; no call was made."""

    exit_code = 3


class NothingSubmittedError(AgentError):
    """A run of mode `submitted` has no submission; it pauses."""


class PromptTooLongError(ModelError):
    """The prompt does not fit the model's context window; a shorter one may."""


class PromptError(AgentError):
    """A prompt template and its values do not match: a bug in this program or in an edited template."""
