"""The bubblewrap sandbox, which needs no daemon."""

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox

__all__ = ["BubblewrapSandbox"]
