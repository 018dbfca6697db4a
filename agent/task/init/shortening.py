"""How a training can be made shorter than the script's own budget: for rehearsals, and for `agent init --try`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.edits.assignments import Assignments
from agent.edits.syntax import parse_script
from agent.errors import AgentError, EditError
from agent.task.init.python_file import Source
from agent.task.init.settings.budget import BudgetGuess, find_budget
from agent.task.init.settings.find_settings import constants, settings
from agent.task.init.settings.load_call import find_load
from agent.task.init.settings.setting import Setting, constant_name
from agent.task.init.settings.settings_file import may_be_settings, with_value

VARIABLE = "TRAIN_BUDGET"
"""The variable from which a script may read its budget."""


@dataclass(frozen=True)
class Training:
    """The files and the command of one training."""

    files: Mapping[str, bytes]  # by relative path
    script: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class BudgetSetting:
    """Where a script's budget is set, so that it can be changed."""

    guess: BudgetGuess
    raw: float  # as it is written there; `guess.amount` may be in other units: 5 minutes are 300 seconds
    file: str | None = None  # of the files; None: it is in the command
    setting: Setting | None = None  # of a Python file
    keys: tuple[str, ...] = ()  # of a settings file: the path of keys in it
    word: int = 0  # index in the command

    def shortened(self, training: Training, amount: float) -> Training:
        """Return a training with another budget: `amount` in units of the guess, at least 1 of what is written."""
        raw = amount * self.raw / self.guess.amount
        value: int | float = max(1, round(raw)) if self.guess.unit != "seconds" or raw == round(raw) else raw
        if self.file is None:
            before, equals, _ = training.command[self.word].rpartition("=")
            words = [*training.command]
            words[self.word] = f"{before}{equals}{value:g}"
            return Training(training.files, training.script, tuple(words))
        text = training.files[self.file].decode()
        changed = _with_value(text, self.setting, value) if self.setting else with_value(text, self.keys, value)
        assert changed is not None, "the keys were found in this text"
        return Training({**training.files, self.file: changed.encode()}, training.script, training.command)


def reads_variable(training: Training) -> bool:
    """Return whether a Python file of a training reads TRAIN_BUDGET."""
    return any(VARIABLE.encode() in content for name, content in training.files.items() if name.endswith(".py"))


def find_budget_setting(training: Training) -> BudgetSetting | None:
    """Return where the budget of a training is set: in its command, a file of settings, or Python; None if nowhere."""
    found = list(_in_command(training.command)) or list(_in_loaded_files(training))
    if not found:
        named = [word for word in training.command if word in training.files and word != training.script]
        for name in dict.fromkeys((*named, training.script, *sorted(training.files))):  # a settings file comes first
            found = list(_in_file(name, training.files[name])) if name.endswith(".py") else []
            if found:
                break
    guess = find_budget([setting for setting, _ in found])
    for setting, made in found:
        if guess.is_known and (setting.where, f"{setting.display_name} = {setting.value}") == (
            guess.where,
            guess.as_written,
        ):
            return replace(made, guess=guess, raw=float(setting.value))
    return None


def shortest(training: Training) -> Training | None:
    """Return the shortest training of a script: one step, one epoch or one second; None if it has no known budget.

    A script that reads TRAIN_BUDGET is returned unchanged: the variable makes it short.
    """
    if reads_variable(training):
        return training
    budget = find_budget_setting(training)
    return None if budget is None else budget.shortened(training, 1)


def _in_command(command: Sequence[str]) -> Iterator[tuple[Setting, BudgetSetting]]:
    """Yield the numbers that options and overrides of a command set, if they are the budget."""
    for index, word in enumerate(command):
        name, equals, text = word.rpartition("=")
        if not equals:
            name, text = command[index - 1] if index else "", word
            if not name.startswith("-"):
                continue
        try:
            value = int(text) if text.isdigit() else float(text)
        except ValueError:
            continue
        yield from _if_budget(Setting(constant_name(name.rpartition(".")[2]), value, "argument", name, "--args"), index)


def _if_budget(setting: Setting, index: int) -> Iterator[tuple[Setting, BudgetSetting]]:
    guess = find_budget([setting])
    if guess.is_known:
        yield setting, BudgetSetting(guess, float(setting.value), word=index)


def _in_file(name: str, content: bytes) -> Iterator[tuple[Setting, BudgetSetting]]:
    """Yield the settings of a Python file that are the budget."""
    try:
        text = content.decode()
        source = Source(name, text, parse_script(text))
        found = [*constants(source), *settings(source)]
    except (SyntaxError, ValueError, EditError, RecursionError, MemoryError):  # the run reports such a file
        return
    for setting in found:
        guess = find_budget([setting])
        if guess.is_known:
            yield setting, BudgetSetting(guess, float(setting.value), name, setting)


def _in_loaded_files(training: Training) -> Iterator[tuple[Setting, BudgetSetting]]:
    """Yield the settings of YAML and JSON files that the script loads, if they are the budget."""
    small = {name: content for name, content in training.files.items() if may_be_settings(name, content)}
    if not small:
        return
    try:
        text = training.files[training.script].decode()
        source = Source(training.script, text, parse_script(text))
        with TemporaryDirectory(prefix="settings-") as folder:
            for name, content in small.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            loaded, _ = find_load(Path(folder), source, training.command)
    except (AgentError, SyntaxError, ValueError, RecursionError, MemoryError):  # the run reports such a file
        return
    for setting in loaded.numbers if loaded else ():
        guess = find_budget([setting])
        if not guess.is_known:
            continue
        assert loaded is not None
        file, keys = loaded.files[setting.display_name], loaded.keys[setting.display_name]
        text = training.files[file].decode()
        for start in range(len(keys)):  # hydra puts a file's settings below keys that the file does not have
            if not file.endswith(".toml") and with_value(text, keys[start:], 1) is not None:
                yield setting, BudgetSetting(guess, float(setting.value), file, keys=keys[start:])
                break


def _with_value(text: str, setting: Setting, value: int | float) -> str:
    """Return a file's text with another value of a setting."""
    node = setting.node
    if node is None:
        return Assignments({setting.name: value}).apply(text)
    lines = text.encode().splitlines(keepends=True)  # ast counts columns in bytes
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    before, after = lines[node.lineno - 1][: node.col_offset], lines[node.end_lineno - 1][node.end_col_offset :]
    lines[node.lineno - 1 : node.end_lineno] = [before + repr(value).encode() + after]
    return b"".join(lines).decode()
