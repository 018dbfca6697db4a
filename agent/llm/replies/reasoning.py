"""Separates a model's reasoning from its answer, where the server returns both in one text.

The spellings are those of the chat templates of DeepSeek-R1, Qwen3, Magistral, Kimi, Seed-OSS, Command A and
OpenThinker, and the channels of gpt-oss (the harmony format). Often the template itself opens the block, so that
the reply has only the closing tag. A heading such as "Final answer:" does not end reasoning: answers have headings too.
"""

import re
from dataclasses import dataclass

_WORD = r"(?:seed:|ant|think:|ant:)?(?:think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad)"
_OPENS = (
    rf"<{_WORD}(?:\s[^<>\n]{{0,80}})?>|\[THINK\]|◁think▷|<\|(?:START_THINKING|begin_of_thought|think|inner_prefix)\|>"
)
_CLOSES = rf"</{_WORD}\s*>|\[/THINK\]|◁/think▷|<\|(?:END_THINKING|end_of_thought|/think|end_of_think|inner_suffix)\|>"
_TAG = re.compile(rf"(?P<opens>{_OPENS})|(?P<closes>{_CLOSES})", re.IGNORECASE)
_QUOTES = "'\"`\\"

_CHANNELS = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>|\s*analysis\s*<\|message\|>")
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^\n]{0,200}?<\|message\|>")
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|start|call)\|>")
_STRIPPED = re.compile(
    r"\s*analysis(?!\s*[=:.,(\[])(?=[A-Z\n ]).*assistant\s?final(?=\W|[A-Z])", re.DOTALL
)  # special tokens removed
_LEFTOVER = re.compile(r"(?:\s*(?:<\|[A-Za-z_]{2,30}\|>|</?(?:answer|response|output)>|</s>))+\s*\Z")
_WRAPPER = re.compile(r"\s*(?:<(?:answer|response|output)>|<\|(?:START_RESPONSE|begin_of_solution)\|>)")

_TITLE = re.compile(r"\W{0,8}title\b", re.IGNORECASE)
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_BEGINS_EDIT = re.compile(r"\s*(?:<{5,9}\s*SEARCH\b|@@|`{3,}|~{3,}|\{)")
_ENDS_BLOCK = re.compile(r"\s*>{5,9}\s*REPLACE\b")


def split_reasoning(content: str) -> tuple[str, str]:
    """Return (reasoning, answer) of a reply, in linear time; either may be empty.

    A tag within the code of an answer is part of that code. The answer of an answer is itself.
    """
    content, channels = _final_channel(content)
    reasoning, answer = _without_tags(content) if _TAG.search(content) else ("", content)
    return "\n".join(part for part in (channels, reasoning) if part), _unwrapped(answer)


def _final_channel(content: str) -> tuple[str, str]:
    """Return (the final channel, the other channels) of a reply in the harmony format; else the reply and nothing."""
    if _CHANNELS.match(content):
        finals = list(_FINAL.finditer(content))
        if not finals:
            return "", content.strip()
        end = _CHANNEL_ENDS.search(content, finals[-1].end())
        return content[finals[-1].end() : end.start() if end else len(content)], content[: finals[-1].start()].strip()
    if stripped := _STRIPPED.match(content):
        return content[stripped.end() :], stripped[0].strip()
    return content, ""


def _unwrapped(answer: str) -> str:
    """Return an answer without the tags and special tokens that some templates put around it."""
    end = _LEFTOVER.search(answer, max(0, len(answer) - 200))
    if end is not None:
        answer = answer[: end.start()] + ("\n" if "\n" in answer else "")
    wrapper = _WRAPPER.match(answer[:200])
    return answer[wrapper.end() :] if wrapper else answer


@dataclass
class _Code:
    """Whether a line of the answer is within code: between fences, or in a SEARCH/REPLACE block."""

    is_fenced: bool = False
    is_block: bool = False
    has_text: bool = False  # whether something other than a title came before
    has_ended: bool = False  # whether the last line that is not blank ended code

    @property
    def is_open(self) -> bool:
        return self.is_fenced or self.is_block

    @property
    def may_pause(self) -> bool:
        """Whether reasoning may stand here: before the code, or after all of it."""
        return not self.is_open and (not self.has_text or self.has_ended)

    def feed(self, line: str) -> None:
        if not line.strip():
            return
        was_open = self.is_open
        if self.is_block:
            self.is_block = not _ENDS_BLOCK.match(line)
        elif _FENCE.match(line):
            self.is_fenced = not self.is_fenced
        elif re.match(r"\s*<{5,9}\s*SEARCH\b", line):
            self.is_block = True
        self.has_ended = (was_open and not self.is_open) or (self.has_ended and _TITLE.match(line) is not None)
        self.has_text = self.has_text or not _TITLE.match(line)


def _without_tags(content: str) -> tuple[str, str]:
    """Return (reasoning, answer) of a reply with tags; see `split_reasoning`."""
    cuts: list[tuple[int, int]] = []  # reasoning between parts of the answer
    begins, at = 0, 0  # of the answer; of the line
    opened: tuple[int, _Code] | None = None  # place of an open tag, and the code around it
    drafts = False  # whether the open block has something that looks like an edit
    code = _Code()
    for line in content.split("\n"):
        margin, end = len(line) - len(line.lstrip()), len(line.partition("# ")[0])
        tags = [tag for tag in _TAG.finditer(line, 0, end) if not _is_quoted(tag, line)]
        last_close = max((tag.start() for tag in tags if tag["closes"]), default=-1)
        rest_from = 0
        for tag in tags:
            leads = tag.start() <= margin
            if tag["opens"]:
                if opened is None and (leads or tag.start() < last_close):
                    opened, drafts = (at + tag.start(), _Code(**vars(code))), False
                    if not leads:
                        opened[1].is_fenced = True  # a tag in prose or in code: its text stays
                continue
            if opened is not None:
                start, around = opened
                if around.may_pause or (drafts and not around.is_open):
                    cuts.append((start, at + tag.end()))
                    rest_from = tag.end()
                    code = around
                opened = None
            elif leads or not code.is_open:
                begins, cuts, code, rest_from = at + tag.end(), [], _Code(), tag.end()
        if opened is not None and _BEGINS_EDIT.match(line):
            drafts = True
        code.feed(line[rest_from:])
        at += len(line) + 1
    if opened is not None and (opened[1].may_pause or (drafts and not opened[1].is_open)):
        cuts.append((opened[0], len(content)))
    if not begins and not cuts:
        return "", content
    reasoning, answer, place = [content[:begins]], [], begins
    for start, end in cuts:
        answer.append(content[place:start])
        reasoning.append(content[start:end])
        place = end
    answer.append(content[place:])
    return _TAG.sub("", "".join(reasoning)).strip(), "".join(answer).lstrip()


def _is_quoted(tag: re.Match[str], line: str) -> bool:
    """Whether a quotation mark or a backslash touches a tag: text about tags, or a string of the script."""
    before, after = line[max(0, tag.start() - 1) : tag.start()], line[tag.end() : tag.end() + 1]
    return (before != "" and before in _QUOTES) or (after != "" and after in _QUOTES)
