"""The Docker sandbox: a container for each job."""

from sandbox.container.docker_sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
