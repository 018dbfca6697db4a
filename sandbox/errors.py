"""Errors of a sandbox itself. A job that fails is not an error: its `Execution` says so."""


class SandboxError(Exception):
    """The sandbox failed, not the job, so the trial does not count. The message ends with the remedy."""


class SandboxUnavailableError(SandboxError):
    """This sandbox cannot be used on this machine in its present state."""


class JobLostError(SandboxError):
    """Nobody knows how the job ended, so that it can be run again.

    No process of it is alive, unless it is on a node of a cluster that cannot be reached. `node`: that node; empty if
    the job ran on this machine, or on no node yet.
    """

    def __init__(self, message: str, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class NodeFailedError(JobLostError):
    """The sandbox failed on one node of a cluster, such as for want of disk space; another node may do better.

    The message ends with the remedy.
    """


class LauncherDiedError(SandboxError):
    """The engine's launcher died before any of the job ran, so that the job can be started again."""


class UnsafeLaunchError(SandboxError):
    """The job would have rights on the host, so its launch was refused or stopped."""
