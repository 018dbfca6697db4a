"""The command of a training prints at once, whichever options of Python it has."""

import pytest

from agent.execution.training_job import unbuffered


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -I -S train.py", "python -u -I -S train.py"),
        ("python3 -IS train.py", "python3 -u -IS train.py"),
        ("python -E -m train", "python -u -E -m train"),
        ("python train.py -I", "python train.py -I"),
        ("python -W ignore::ImportWarning train.py", "python -W ignore::ImportWarning train.py"),
        ("torchrun -I train.py", "torchrun -I train.py"),
        ("python", "python"),
    ],
)
def test_options_that_ignore_the_environment_get_u(command: str, expected: str) -> None:
    assert " ".join(unbuffered(tuple(command.split()))) == expected
