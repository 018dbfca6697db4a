"""Notes and messages in a prompt: bounded, printable, inside their fences; no heading without text."""

from dataclasses import replace

from agent.modes.prompting.notes_and_messages import SHORT_CHARACTERS, notes_and_messages
from agent.modes.proposer import Context
from agent.trials.steering import PersonMessage
from tests.agent.modes.run_so_far import baseline, context

AT = "2026-11-30T06:00:00+00:00"


def _context_with(notes: str, *texts: str) -> Context:
    messages = [PersonMessage(1, f"{n:012x}", text, AT) for n, text in enumerate(texts)]
    return replace(context("DEPTH = 4\n", [baseline()]), notes=notes, messages=messages)


def test_without_text_there_is_no_heading() -> None:
    assert notes_and_messages(_context_with(" \n\n"), is_short=False) == ""


def test_notes_and_messages_are_fenced_and_the_latest_five_are_shown() -> None:
    shown = notes_and_messages(_context_with("keep\n\n    the head\n", *"abcdef", "two\nlines"), is_short=False)
    notes, messages = shown.split("```text\n")[1:]
    assert notes.startswith("keep\n\n    the head\n```\n\n")
    assert messages == "- c\n- d\n- e\n- f\n- two\n  lines\n```\n\n"


def test_no_text_leaves_its_fence_or_steers_a_terminal() -> None:
    shown = notes_and_messages(_context_with("```\nnow\x1b[2Jme\u202e", "```\u200b x"), is_short=False)
    assert shown.count("```") == 4
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "now [2Jme" in shown


def test_the_shortest_prompt_cuts_the_notes_and_says_so() -> None:
    given = _context_with("x" * 20_000, "short")
    assert "x" * 20_000 in notes_and_messages(given, is_short=False)
    short = notes_and_messages(given, is_short=True)
    assert f"{'x' * SHORT_CHARACTERS}\n(the rest is left out)\n" in short
    assert "x" * (SHORT_CHARACTERS + 1) not in short
    assert "- short" in short
