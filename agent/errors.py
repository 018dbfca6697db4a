"""One tree of errors. Every message says what happened, with which value, and what to do: it is shown as it is."""

from typing import ClassVar


class AgentError(Exception):
    """Something the user should read; `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 1


class UsageError(AgentError):
    """The command, the task or the configuration is wrong; nothing was started."""

    exit_code = 2


class TaskError(UsageError):
    """A task folder or its task.toml is invalid; the message names file and line."""


class UnsafeFileError(UsageError):
    """A folder that may be a stranger's holds what no run writes: a link, a FIFO, a device, a file without an end."""


class BudgetSpentError(AgentError):
    """Nothing ran because the budget is spent."""

    exit_code = 3


class MissingRequirementError(AgentError):
    """The machine lacks something: a program, a package, data, a model endpoint."""

    exit_code = 4


class MachineError(AgentError):
    """The machine is not the one that the run's baseline ran on, or its speed cannot be told; the run can go on."""


class JournalError(AgentError):
    """The journal cannot be read or written as it must be; nothing was changed."""


class RepoError(AgentError):
    """Git did not do what was asked of it."""


class TrackError(AgentError):
    """An experiment tracker could not be written to; the run itself has everything, and a later call catches up."""


class NotReplayableError(AgentError):
    """A recorded trial cannot be run again here, so that nothing can be said about it."""

    exit_code = 4


class EditError(AgentError):
    """An edit does not apply; the message tells a model how to mend it."""


class ModelError(AgentError):
    """The model's endpoint failed for good; the run stops and can be resumed."""


class ModelBudgetSpentError(ModelError):
    """A cap on the tokens or the dollars of a run's model calls is reached; no call was made."""

    exit_code = 3


class PromptTooLongError(ModelError):
    """The prompt does not fit the model's window; a shorter one may."""


class PromptError(AgentError):
    """A prompt template and the values for it do not match: a fault of this program or of an edited template."""
