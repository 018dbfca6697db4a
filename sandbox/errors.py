"""What goes wrong with a sandbox itself. A job that fails is no error: that is an `Execution`."""


class SandboxError(Exception):
    """The sandbox failed, not the job: the trial does not count. The message ends with the remedy."""


class SandboxUnavailableError(SandboxError):
    """This sandbox cannot be used on this machine as it is."""


class UnsafeLaunchError(SandboxError):
    """The launch would leave the job with rights on the host; it was refused or stopped."""
