"""The part of a prompt that comes from people: the task's notes.md and the latest messages (`agent say`)."""

from agent.modes.proposer import Context
from agent.text import one_line
from agent.trials.steering import in_prompt

SHORT_CHARACTERS = 1_000
"""Length of the notes in the shortest version of a prompt."""


def notes_and_messages(context: Context, *, is_short: bool) -> str:
    """Return the part of a prompt that shows notes and messages, with an empty line at its end; empty without any.

    Args:
        is_short: the longer versions of the prompt do not fit, so the notes are cut.
    """
    notes = "\n".join(_printable(line) for line in context.notes.expandtabs(4).splitlines()).strip("\n")
    if is_short and len(notes) > SHORT_CHARACTERS:
        notes = f"{notes[:SHORT_CHARACTERS]}\n(the rest is left out)"
    latest = [message.text.splitlines() for message in in_prompt(context.messages)]
    messages = "\n".join("- " + "\n  ".join(map(_printable, lines)) for lines in latest)
    return "".join([
        _fenced("Notes of the people who started this search (notes.md):", notes),
        _fenced("Their messages during the search, the latest last. Take them into account:", messages),
    ])  # fmt: skip


def _fenced(heading: str, text: str) -> str:
    return f"{heading}\n\n```text\n{text}\n```\n\n" if text else ""


def _printable(line: str) -> str:
    """Return a line without unprintable characters and without the end of a fence; its indentation stays."""
    line = line.rstrip()
    indentation = line[: len(line) - len(line.lstrip(" "))]
    return indentation + one_line(line).replace("```", "'''")
