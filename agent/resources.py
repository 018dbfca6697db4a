"""The location of files that ship with the program: beside it in a wheel, at the root of a checkout."""

from pathlib import Path

from agent.errors import MissingRequirementError

_HERE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the path of `prompts`, `train_template` or `examples/digits`. Raises MissingRequirementError."""
    for place in (_HERE / "_resources" / name, _HERE.parent / name):
        if place.is_dir():
            return place
    raise MissingRequirementError(f"the folder {name!r} is missing from this installation: install autocentaur again")
