"""A first [space] table for a script: its constants with ranges around their values, and constraints between them."""

import json
from collections.abc import Collection, Sequence

from agent.edits.assignments import all_constants
from agent.edits.syntax import parse_script
from agent.task.init.python_file import Source
from agent.task.init.settings.conditions import conditions_of
from agent.task.init.settings.find_settings import constants
from agent.task.init.settings.left_out import why_left_out
from agent.task.init.settings.ranges import keys_of
from agent.task.init.settings.setting import Setting
from agent.text import one_line


def proposed_space(
    source: str, settings: Sequence[Setting] | None = None, modules: Sequence[Source] | None = None
) -> str:
    """Return a [space] table in TOML, one line per constant; constants without a range are comments.

    Every value of the script is inside its range and meets the constraints, so that the table is valid unchanged.

    Args:
        source: the script.
        settings: what is known about its settings, by name those of its constants; None: what it says itself.
        modules: the script as it was and its modules, whose asserts become constraints; None: the script alone.

    Raises:
        EditError: the script does not parse.
    """
    own = all_constants(source)
    alone = Source("the script", source, parse_script(source))
    settings = constants(alone) if settings is None else settings
    known = {setting.name: setting for setting in sorted(settings, key=lambda each: not each.unused)}
    names = {*own, *(setting.key or setting.name for setting in settings)}
    there = [known.get(name, Setting(name, value, "constant", name, "")) for name, value in own.items()]
    lines = ["[space]", *(line for setting in there for line in [_line(setting, names)])]
    searched = [setting for setting in there if is_searched(setting, names)]
    if not searched:
        lines.append("# the script has no constant NAME = number at module level; give it one for each value to search")
    for setting in settings:
        is_elsewhere = setting.kind != "constant" and (setting.unused or setting.name not in own)
        if is_elsewhere and (why := _why_listed(setting, names)):
            lines.append(f"# {one_line(setting.display_name)} = {_toml(setting.value)}  # left out: {one_line(why)}")
    in_effect = {name: setting for name, setting in known.items() if setting.is_given or not setting.unused}
    everything = {**in_effect, **{setting.name: setting for setting in there}}
    rules = conditions_of(modules or [alone], everything, own, {setting.name for setting in searched})
    if rules:
        lines.insert(1, "constraints = [")
        lines[2:2] = [*(f"    {json.dumps(rule.text)},  # {one_line(rule.why)}" for rule in rules), "]"]
    return "\n".join(lines) + "\n"


def is_searched(setting: Setting, names: Collection[str] = ()) -> bool:
    """Return whether the proposed space has a range for a setting; `names`: all names of the script."""
    return not _line(setting, names).startswith("#")


def _why_listed(setting: Setting, names: Collection[str]) -> str:
    """Return why a setting that is no constant was left out; empty if that needs no mention."""
    if setting.unused and not (isinstance(setting.value, str) and not setting.declared.choices):
        return setting.unused
    is_named = setting.kind in ("argument", "dataclass", "dict", "environment", "file")
    return why_left_out(setting, names) if is_named and not isinstance(setting.value, str) else ""


def _line(setting: Setting, names: Collection[str]) -> str:
    value, name = setting.value, setting.name
    why = why_left_out(setting, names)
    if why:
        return f"# {name} = {_toml(value)}  # left out: {one_line(why)}"
    if keys := keys_of(name, value, setting.declared):
        return f"{name} = {{ {keys} }}"
    if isinstance(value, str) and not setting.declared.choices:
        alone = f"choices = [{_toml(value)}]"
        return f'# {name} = {{ type = "categorical", {alone} }}  # list the others, and remove the first #'
    return f"# {name} = {_toml(value)}  # left out: no other value that a search can use"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
