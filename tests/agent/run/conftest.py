"""The fixture of tests of several trials at once."""

from collections.abc import Callable, Mapping

import pytest

from agent.run.open_run import Run
from agent.task.task import Task
from tests.agent.run.given_machine import Machine, MachineWith
from tests.agent.run.simulated import Given


@pytest.fixture
def machine(open_run: Callable[..., Run], bigram: Task) -> MachineWith:
    def made(jobs: Mapping[str, Given], n_slots: int, **more: object) -> Machine:
        return Machine(open_run, bigram, jobs, n_slots, **more)  # type: ignore[arg-type]

    return made
