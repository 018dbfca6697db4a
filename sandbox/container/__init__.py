"""The sandbox in a Docker container."""

from sandbox.container.docker_sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
