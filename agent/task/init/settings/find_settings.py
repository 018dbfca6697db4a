"""The settings of a script, wherever it keeps them: options, dataclasses, dicts, variables, literals in the code.

Each is a literal in the text, so that a constant can replace it: see agent.task.init.settings.constants_block.
"""

import ast
from collections import Counter
from dataclasses import replace

from agent.edits.assignments import all_constants
from agent.task.init.python_file import Source
from agent.task.init.settings.declared import of_annotation
from agent.task.init.settings.places.code_literals import (
    call_settings,
    default_settings,
    environment_settings,
    variable_settings,
)
from agent.task.init.settings.places.fields import entry_settings, field_settings
from agent.task.init.settings.places.options import option_settings
from agent.task.init.settings.places.twins import marked
from agent.task.init.settings.setting import Setting


def settings(source: Source) -> list[Setting]:
    """Return a script's settings, without its upper-case constants, in the order of the text.

    Those that have no effect are included, and say why (`unused`).
    """
    found = [
        *option_settings(source),
        *field_settings(source),
        *entry_settings(source),
        *variable_settings(source),
        *default_settings(source),
        *call_settings(source),
        *environment_settings(source),
    ]
    found.sort(key=lambda setting: (setting.node.lineno, setting.node.col_offset) if setting.node else (0, 0))
    return named_apart(marked(source, _without_overlaps(found)), source)


def constants(source: Source) -> list[Setting]:
    """Return the upper-case module-level constants of a file that are numbers or strings."""
    nodes = {
        target.id: node
        for node in source.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found = []
    for name, value in all_constants(source.text).items():
        declared = replace(of_annotation(getattr(nodes[name], "annotation", None), {}), enum="")
        found.append(Setting(name, value, "constant", name, source.at(nodes[name]), declared=declared, key=name))
    return marked(source, found)


def named_apart(found: list[Setting], source: Source) -> list[Setting]:
    """Return the settings, each with a name that is unique in the script; the longer name is used if necessary.

    Settings without a unique name are omitted, except those without effect, which need none.
    """
    nodes = list(ast.walk(source.tree))
    kept = {setting.name for setting in found if setting.written in ("pass", "")}  # the script's own constants
    taken = {node.id for node in nodes if isinstance(node, ast.Name)} - kept
    taken |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    short = Counter(setting.name for setting in found if not setting.unused)
    named = []
    for setting in found:
        if setting.unused:
            named.append(setting)
            continue
        wanted = [setting.name] if short[setting.name] == 1 else []
        several = (f"{setting.name}_{n}" for n in range(2, 10)) if setting.kind in ("call", "default") else ()
        for name in (*wanted, setting.longer, *several):
            if name and name not in taken:
                taken.add(name)
                named.append(replace(setting, name=name))
                break
    return named


def _without_overlaps(found: list[Setting]) -> list[Setting]:
    """Return the settings, each place in the text once: the first finder has it."""
    seen: set[int] = set()
    kept = []
    for setting in found:
        walked = (node for outer in setting.nodes for node in ast.walk(outer))
        inner = {id(node) for node in walked if isinstance(node, ast.expr | ast.stmt)}  # ast shares operators
        if seen.isdisjoint(inner):
            seen |= inner
            kept.append(setting)
    return kept
