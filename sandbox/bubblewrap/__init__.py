"""The sandbox without a daemon: bubblewrap."""

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox

__all__ = ["BubblewrapSandbox"]
