"""Where the files that ship with the program are: beside it in a wheel, at the root of a checkout."""

from pathlib import Path

from agent.errors import MissingRequirementError

_HERE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `prompts` or `train_template`, wherever this installation keeps it."""
    for place in (_HERE / "_resources" / name, _HERE.parent / name):
        if place.is_dir():
            return place
    raise MissingRequirementError(f"the folder {name!r} is missing from this installation: install autocentaur again")
