"""All that can be inferred from a folder with a training script, in one record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import UsageError
from agent.task.init.dependencies import Needs, find_needs
from agent.task.init.find_script import find_script, is_block
from agent.task.init.host import HostResources, interpreter_of, missing_modules
from agent.task.init.local_modules import LocalModules, find_modules
from agent.task.init.metric.direction import given_goal
from agent.task.init.metric.printed_metric import Ask, PrintedMetric, find_metrics, named_by_user, with_goal
from agent.task.init.metric.unnamed_values import line_to_add
from agent.task.init.python_file import Source, imported_names
from agent.task.init.settings.budget import BudgetGuess, find_budget
from agent.task.init.settings.constants_block import Lifted, extract_constants
from agent.task.init.settings.find_settings import constants, named_apart, settings
from agent.task.init.settings.given import GivenValue, given_values, split_environment, with_given
from agent.task.init.settings.load_call import LoadCall, find_load
from agent.task.init.settings.setting import Setting
from agent.task.init.settings.suggest_space import is_searched, proposed_space

NO_METRIC = PrintedMetric("unknown_metric", "minimise", None, "nothing")
"""Stands for the metric of a script in whose text none was found."""


@dataclass(frozen=True)
class InitOptions:
    """The user's choices, which replace guesses."""

    script: str | None = None
    metric: str | None = None  # NAME, the printed text with {} in it, or FILE:KEY
    goal: str | None = None  # the metric's direction
    ask_goal: Ask | None = None  # asks the user for it; None: nobody can answer
    arguments: tuple[str, ...] = ()  # the script's command-line arguments
    block: bool | None = None  # whether to write a copy with constants; None: if the script has none
    python: str | None = None  # the interpreter of the trials; None: that of a virtual environment in the folder


@dataclass(frozen=True)
class Tried:
    """What runs of the script have shown; see agent.analysis.try_script."""

    remarks: tuple[str, ...]  # for the comment in task.toml, one line each
    varies: bool | None = None  # whether a run under another seed has another result; None: unknown
    dead: frozenset[str] = frozenset()  # names of the space that change nothing that the script prints


@dataclass(frozen=True)
class ScriptReport:
    """What a script is, needs and prints, as inferred from its text."""

    folder: Path
    script: Source
    modules: LocalModules  # those of its own
    arguments: tuple[str, ...]
    environment: Mapping[str, str]  # variables that the user passes to the script
    metrics: tuple[PrintedMetric, ...]  # most likely first; at least one
    budget: BudgetGuess
    needs: Needs
    constants: tuple[Setting, ...]  # its constants
    other_settings: tuple[Setting, ...]  # its other settings
    unread: str  # why settings that it loads from files are not among these; empty: it loads none, or they are
    lifted: Lifted | None  # the copy with constants for `other_settings`; None: no copy is needed
    libraries: frozenset[str]  # imported directly or through its own modules
    absent: tuple[str, ...]  # those of `libraries` that the interpreter lacks
    python: str | None  # the interpreter of the folder, relative to it
    machine: HostResources
    tried: Tried | None = None  # None: the script was only read

    @property
    def edited(self) -> tuple[str, str]:
        """Name and text of the file that trials edit."""
        return (self.lifted.name, self.lifted.text) if self.lifted else (self.script.name, self.script.text)

    @property
    def space(self) -> str:
        """The table [space] of the edited file."""
        lines = proposed_space(
            self.edited[1], self._known, [self.script, *(module for module, _ in self.modules.sources())]
        ).split("\n")
        dead = self.tried.dead if self.tried else frozenset()
        why = "  # left out: other values changed nothing that the script prints"
        return "\n".join(f"# {line}{why}" if line.partition(" = ")[0] in dead else line for line in lines)

    @property
    def n_searched(self) -> int:
        """Number of names in the space."""
        return sum(" = { type = " in line and line[0] != "#" for line in self.space.splitlines())

    @property
    def takes_seed(self) -> bool:
        """Whether a run under another TRAIN_SEED is informative: as it was seen, else as the text says."""
        if self.tried is not None and self.tried.varies is not None:
            return self.tried.varies
        return "TRAIN_SEED" in self.edited[1]

    @property
    def unsearched(self) -> tuple[Setting, ...]:
        """Settings that a search could use but that are where it cannot write."""
        worth = worth_lifting(self._known)
        return () if self.lifted else tuple(setting for setting in self.other_settings if worth(setting))

    @property
    def given(self) -> tuple[Setting, ...]:
        """Settings that could be searched if the user did not pass their values to the script."""
        worth = worth_lifting(self._known)
        return tuple(setting for setting in self._known if setting.is_given and worth(replace(setting, unused="")))

    @property
    def _known(self) -> tuple[Setting, ...]:
        return (*self.constants, *self.other_settings)


def read_script(
    folder: Path, wishes: InitOptions, machine: HostResources, *, needs_metric: bool = True
) -> ScriptReport:
    """Return the report on `folder`, without running anything in it.

    Args:
        folder: with the script.
        wishes: of the user.
        machine: on which trials will run.
        needs_metric: whether a script that prints no metric is refused; otherwise its only metric is NO_METRIC.

    Raises:
        UsageError: there is no script, or it reports no metric, or nothing says whether a higher or a lower one is
            better; the message says what to do.
    """
    script = find_script(folder, wishes.script)
    found = find_modules(folder, script)
    modules = found.sources()
    environment, arguments = split_environment(script, wishes.arguments)
    named = [named_by_user(wishes.metric)] if wishes.metric else []
    metrics = named or find_metrics(script, [module for module, _ in modules], arguments)
    if not metrics and not needs_metric:
        metrics = [NO_METRIC]
    if not metrics:
        added = line_to_add(script)
        if added:
            raise UsageError(f"{folder / script.name} prints no validation metric with its name: {added}")
        raise UsageError(
            f"{folder / script.name} prints no recognisable validation metric; let it end with "
            "print('---') and print(f'val_loss: {val_loss:.6f}'), name the printed text: --metric 'val loss {}', "
            "or a value of a file that it writes: --metric metrics.jsonl:val_loss; --try looks in the log of a run"
        )
    if metrics[0] != NO_METRIC:
        metrics[0] = with_goal(metrics[0], given_goal(wishes.goal), wishes.ask_goal)
    loaded, unread = (None, "") if is_block(script.text) else find_load(folder, script, arguments)
    given = given_values(folder, script, arguments, loaded.file if loaded else "")
    given += [GivenValue(name, value, f"{name}={value}") for name, value in environment.items()]
    own = with_given(script, constants(script), given)
    others, lifted = _lifted(script, own, loaded, given, wishes)
    own = [setting for setting in own if setting.kind == "constant"]
    words = [*((word, "--args") for word in arguments)]
    words += [(word, loaded.file) for word in loaded.words] if loaded else []
    elsewhere = [setting for module, _ in modules for setting in (*constants(module), *settings(module))]
    sources = [script, *(module for module, _ in modules)]
    libraries = {name for source in sources for name in imported_names(source)}
    libraries -= found.names
    python = wishes.python or interpreter_of(folder)
    return ScriptReport(
        folder=folder,
        script=script,
        modules=found,
        arguments=arguments,
        environment=environment,
        metrics=tuple(metrics),
        budget=find_budget([*own, *others, *elsewhere]),
        needs=find_needs(folder, script, found, words),
        constants=tuple(own),
        other_settings=tuple(others),
        unread=unread,
        lifted=lifted,
        libraries=frozenset(libraries),
        absent=tuple(missing_modules(folder, python, libraries, is_chosen=wishes.python is not None)),
        python=python,
        machine=machine,
    )


def worth_lifting(settings: Sequence[Setting]) -> Callable[[Setting], bool]:
    """Return a function that tells whether the proposed space would have a range for one of the settings."""
    names = {setting.key or setting.name for setting in settings}
    return lambda setting: is_searched(setting, names)


def _lifted(
    script: Source,
    own: list[Setting],
    loaded: LoadCall | None,
    given: Sequence[GivenValue],
    wishes: InitOptions,
) -> tuple[list[Setting], Lifted | None]:
    """Return the script's settings besides constants, and a copy with constants for them, or None if not needed."""
    if is_block(script.text):
        return [], None
    found = settings(script)
    if loaded:
        in_file = {setting.key for setting in loaded.settings}
        replaced = f"{loaded.file} has a value for it"
        found = [
            replace(setting, unused=replaced) if setting.kind == "argument" and setting.key in in_file else setting
            for setting in found
        ]
        found = named_apart([*loaded.settings, *found], script)
    found = with_given(script, found, given)
    is_worth = worth_lifting([*own, *found])
    has_constants = any(is_worth(setting) for setting in own)
    wanted = wishes.block is not False and (wishes.block or not has_constants)
    if not wanted or not any(is_worth(setting) for setting in found):
        return found, None
    return found, extract_constants(script, found, loaded, is_worth)
