"""Real coding agents, and a person who has settings of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.install import Client, NotInstalledError, client
from tests.clients.namespace import Namespace
from tests.clients.starting import Person


@pytest.fixture
def person(tmp_path: Path) -> Person:
    made = Person(tmp_path / "home", tmp_path / "project")
    made.home.mkdir()
    made.project.mkdir()
    return made


@pytest.fixture(scope="session")
def installed() -> Callable[[str], Client]:
    """Return a coding agent, installed now if need be; skips the test, and says why, where it cannot be had."""

    def find(name: str) -> Client:
        try:
            Namespace().__exit__()
        except OSError as fault:
            pytest.skip(str(fault))
        try:
            return client(name)
        except NotInstalledError as fault:
            pytest.skip(f"{name}: {fault}")

    return find
