"""The label in front of a printed number: the words that name it, and whether they mean held-out data."""

import ast
import re
from dataclasses import dataclass
from typing import Literal

from agent.task.init.metric.direction import Goal, known_goal, known_words, names_a_metric, word_spans

Split = Literal["val", "test", "train"]

_SPLITS: dict[Split, str] = {
    "val": "val|vals|valid|validate|validation|dev|eval|evals|evaluate|evaluation|heldout|holdout|cv|oof",
    "test": "test|testing",
    "train": "train|training|trn|running|batch|minibatch",
}
_RUN_TOGETHER = re.compile(r"(valid|val|test|eval|dev|train)(?=loss|acc|ppl|err|auc|f1|rmse|mse|mae|score)")
_BESIDE = frozenset(
    {
        *("best", "mean", "avg", "average", "final", "total", "overall", "macro", "micro", "weighted"),
        *("max", "min", "last", "set", "so", "far", "current", "new", "ema", "smoothed"),
    }
)
"""Words that may stand beside the words of a metric without naming something else."""
_PREPOSITIONS = frozenset({"on", "of", "over", "for", "in", "at", "after", "per", "across"})
_COUNTED = frozenset({"epoch", "epochs", "step", "steps", "iter", "iteration", "iterations", "episode"})
_OTHER_NUMBERS = re.compile(
    r"time|times|seconds?|secs?|s|ms|minutes?|hours?|eta|elapsed|took|steps?|iters?|iterations?|epochs?|batch|batches|size"
    r"|samples?|examples?|images?|rows?|tokens?|data|dataset|lr|rate|count|counts|n|num|number|len|length|shape|splits?"
    r"|every|interval|folds?|index|id|idx|frequency|patience|files?|paths?|dir|folder|speed|seed|runtime|memory|mb|gb"
    r"|on|in|for|of|at|is|the|and|with|from|to|x|y|set|shapes"
)
_END = re.compile(r"[\s:=|>~'\"(\[#*-]*(?:\b(?:is|of|was|at|=)\b[\s:=|>~'\"(\[-]*)?$")
_BREAK = re.compile(r"[,;|\n\t\0]|[:=](?=.)|\s{3,}|[.!?](?=\s)|[()](?=\s)|->")
_MOST_CHARACTERS = 200  # before a number, searched for its name


@dataclass(frozen=True)
class Label:
    """The words in front of a number."""

    name: str  # as the name of a metric: valid_acc
    text: str  # what is printed in front of the number, from the label on
    goal: Goal | None  # None: no word of it is known
    split: Split | None  # the data that it is of, by the label or by what is in front of it in the same line
    is_split_before: bool = False  # the word for the split is in front of an earlier number of the line


@dataclass(frozen=True)
class Report:
    """A number that a library prints, or that the script writes to a file."""

    label: Label
    node: ast.AST  # the call that does so
    line: str | None = None  # the printed text, with {} for the number
    file: str | None = None
    key: str | None = None  # its name in the file


def split_of(text: str) -> Split | None:
    """Return the data that the last such word of a text names; None if there is none."""
    found: Split | None = None
    for word, _, _ in word_spans(re.sub(r"(?i)held[ _-]out", "heldout", text)):
        together = _RUN_TOGETHER.match(word)
        for split, words in _SPLITS.items():
            if word in words.split("|") or (together and together[1] in words.split("|")):
                found = split
    return found


def _of_function(name: str) -> Split | None:
    """Return the held-out data that the name of a function means, if it means no training beside it."""
    splits = {split_of(word) for word, _, _ in word_spans(name)} - {None}
    return split_of(name) if splits in ({"val"}, {"test"}) else None


def label_of(literal: str, line_before: str, function: str = "") -> Label | None:
    """Return the label at the end of a text in front of a number; None if its words name no metric.

    Args:
        literal: the text since the number before it, or since the start of the line.
        line_before: the line in front of `literal`.
        function: the name of the function that prints it: in `validate`, numbers are of held-out data.
    """
    literal = literal[-_MOST_CHARACTERS:]
    ended = _END.search(literal)
    whole, sign = (literal[: ended.start()], ended[0]) if ended else (literal, "")
    breaks = [found.end() for found in _BREAK.finditer(whole)]
    first = breaks[-1] if breaks else 0
    spans = list(word_spans(whole[first:]))
    words = [word for word, _, _ in spans]
    place = _place(words, spans, whole[first:], is_marked=bool(re.search(r"[:=]|is|was", sign)))
    if place is None:
        return None
    start, end = first + spans[place[0]][1], first + spans[place[1] - 1][2]
    label = whole[start:end]
    if {split_of(word) for word in words[slice(*place)]} >= {"train", "val"}:
        return None  # the header of a table
    split = split_of(label) or split_of(literal) or split_of(line_before) or _of_function(function)
    goal = known_goal(label)
    if goal is None and split_of(label) in (None, "train"):
        return None
    if split is None and not names_a_metric(label):
        return None
    own = "_".join(words[slice(*place)])
    name = own if split is None or split_of(label) is not None else f"{split}_{own}"
    is_before = split is not None and split_of(literal) is None
    return Label(name, _quoted(literal, whole, start, split), goal, split, is_before)


def _place(
    words: list[str], spans: list[tuple[str, int, int]], text: str, *, is_marked: bool
) -> tuple[int, int] | None:
    """Return the places of the label's first word and of the word behind it; None if no label ends the text.

    Args:
        is_marked: whether the text ends in a colon, an equals sign or `is`.
    """
    known = known_words(words)
    if known:
        behind = words[known[-1] + 1 :]
        if all(map(_is_beside, behind)):
            end = len(words)
        elif is_marked and behind[0] in _PREPOSITIONS and behind[-1] not in _COUNTED:
            end = known[-1] + 1  # accuracy on the 10000 test images: {}
        else:
            return None
        start = known[0] if known[-1] - known[0] == len(known) - 1 else known[-1]
        while start > 0 and (_belongs(words, start - 1, known) or _joined(text, spans, start)):
            start -= 1
        return start, end
    splits = [place for place, word in enumerate(words) if split_of(word) in ("val", "test")]
    if not splits or any(_OTHER_NUMBERS.fullmatch(word) for word in words[splits[-1] + 1 :]):
        return None
    return (splits[-1], len(words)) if len(words) - splits[-1] <= 4 else None


def _belongs(words: list[str], place: int, known: list[int]) -> bool:
    """Return whether a word in front of a label belongs to it; a digit does behind a word of it, as in `top 5`."""
    word = words[place]
    return word in _BESIDE or split_of(word) is not None or place in known or (word[0].isdigit() and place - 1 in known)


def _is_beside(word: str) -> bool:
    return word in _BESIDE or split_of(word) is not None or len(word) <= 1 or word[0].isdigit()


def _joined(text: str, spans: list[tuple[str, int, int]], place: int) -> bool:
    """Return whether a word is written together with the one before it, as in `episodic_return`."""
    return not re.search(r"[\s\])]", text[spans[place - 1][2] : spans[place][1]])


def _quoted(literal: str, whole: str, start: int, split: Split | None) -> str:
    """Return the text to look for in a log: from the word for the split, a quote in front of it included."""
    if split is None or split_of(literal) is None:
        begin = 0 if split is None else start
    else:
        begin = start
        for word, at, _ in word_spans(whole[:start]):
            if split_of(word) == split and split_of(whole[start:]) is None:
                begin = at
    if begin and literal[begin - 1] in "'\"[(<":
        begin -= 1
    return literal[begin:].lstrip("])>:{ ,;|\t").rstrip()
