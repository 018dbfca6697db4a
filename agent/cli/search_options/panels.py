"""Options in groups: their help, and a dataclass of options as one parameter of a command.

typer's own groups need its rich help, which takes 0.16 s to import.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

TASK = "Task"
SEARCH = "Search"
BUDGET = "Budget"
MODEL = "Model"
SANDBOX = "Sandbox"
PROGRESS = "What counts as progress"
OUTPUT = "Output"
PANELS = (TASK, SEARCH, BUDGET, MODEL, SANDBOX, PROGRESS, OUTPUT)

FIRST = "Most used"
MOST_USED = (
    *("task", "profile", "mode", "modes", "seeds", "trials", "budget", "wall", "model", "gpus", "name", "resume"),
    "json_",
)
"""Options that most people need, by parameter name, in the order of the help."""

_Options = TypeVar("_Options")


def one_of(names: Iterable[str]) -> str:
    """Return names as a list in a sentence: `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def option(panel: str, help: str, *names: str, **settings: Any) -> Any:
    """Return an option under the heading `panel`, for use in `Annotated`; `settings` are those of typer.Option."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


class GroupedCommand(TyperCommand):
    """A command whose help shows MOST_USED first, and the other options under the headings of PANELS."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of all options; typer calls it."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", FIRST, *PANELS)}
        ranks = {name: rank for rank, name in enumerate(MOST_USED)}
        for parameter in sorted(self.get_params(ctx), key=lambda each: ranks.get(str(each.name), len(ranks))):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_option = parameter.param_type_name == "option"
                panel = getattr(parameter, "rich_help_panel", None) or OUTPUT
                heading = FIRST if parameter.name in ranks else panel if is_option else "Arguments"
                groups[heading].append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def with_options(
    options: type[_Options], without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that replaces a command's parameter `options` by one option for each field of a dataclass.

    Each field is annotated like a command's parameter: `Annotated[int, typer.Option(...)]`.

    Args:
        without: fields that keep their defaults and become no options.
    """
    offered = [spec for spec in fields(options) if spec.name not in without]  # type: ignore[arg-type]
    taken = {spec.name for spec in offered}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            chosen = options(**{name: value for name, value in given.items() if name in taken})
            function(options=chosen, **{name: value for name, value in given.items() if name not in taken})

        own = [each for each in signature(function).parameters.values() if each.name != "options"]
        made = [
            Parameter(
                spec.name,
                Parameter.KEYWORD_ONLY,
                default=spec.default_factory() if spec.default_factory is not MISSING else spec.default,
                annotation=spec.type,
            )
            for spec in offered
        ]
        keyword = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in own]
        command.__signature__ = Signature([*keyword, *made])  # type: ignore[attr-defined]
        return command

    return decorate
