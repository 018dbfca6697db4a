"""What the engine's errors say to a user, without an engine."""

import socket
from pathlib import Path

import pytest

from sandbox.container.engine import Engine
from sandbox.errors import SandboxUnavailableError


def test_an_engine_that_is_not_started_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    with pytest.raises(SandboxUnavailableError, match="is Docker installed and started"):
        Engine()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))  # nobody listens
        with pytest.raises(SandboxUnavailableError, match="systemctl start docker"):
            Engine()
