"""Prompt templates: Markdown files with `$name` placeholders; a missing or an unused value is an error."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from agent.errors import PromptError
from agent.resources import folder

PARTS = ("system", "user", "repair")
"""The templates of every mode: the system prompt, the task, and the answer to an invalid reply."""


@dataclass(frozen=True)
class PromptSet:
    """The templates of one mode: one text for each of its parts, and `format` if the mode has several reply formats."""

    mode: str
    texts: Mapping[str, str]

    @classmethod
    def load(
        cls,
        mode: str,
        root: Path | None = None,
        answer_format: str | None = None,
        parts: Sequence[str] = PARTS,
        more: Sequence[str] = (),
    ) -> "PromptSet":
        """Return the templates in `root`/`mode`; `root` is the installed folder `prompts` unless given.

        `answer_format` names one more file, which describes the reply format: the part `format`; `parts`
        are those that the mode has. `more`: files of other modes, as MODE/PART.md, whose texts the part `more` has.

        Raises:
            PromptError: a file is missing, or is not a valid template.
        """
        place = (root or folder("prompts")) / mode
        try:
            texts = {part: (place / f"{part}.md").read_text(encoding="utf-8") for part in parts}
            if answer_format is not None:
                texts["format"] = (place / f"{answer_format}.md").read_text(encoding="utf-8")
            if more:
                texts["more"] = "\n".join((place.parent / name).read_text(encoding="utf-8") for name in more)
        except (OSError, UnicodeDecodeError) as fault:
            raise PromptError(f"the prompt of mode {mode!r} cannot be read: {fault}") from None
        for part, text in texts.items():
            if not Template(text).is_valid():
                raise PromptError(f"{place / part}.md has a `$` without a name; write `$$` for a dollar sign")
        return cls(mode, texts)

    @property
    def hash(self) -> str:
        """Hash of all texts, 12 hexadecimal digits, which identifies the prompt of a trial."""
        whole = "\0".join(f"{part}\0{text}" for part, text in self.texts.items())
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    def fill(self, part: str, values: Mapping[str, str]) -> str:
        """Return the text of `part` with every placeholder filled. Values are inserted verbatim, not as templates.

        Raises:
            PromptError: a placeholder has no value, or a value has no placeholder.
        """
        template = Template(self.texts[part])
        places = set(template.get_identifiers())
        if missing := sorted(places - values.keys()):
            raise PromptError(f"prompts/{self.mode}/{part}.md has an unknown placeholder ${missing[0]}; remove it")
        if unused := sorted(values.keys() - places):
            raise PromptError(f"prompts/{self.mode}/{part}.md lacks the placeholder ${unused[0]}; add it")
        return template.substitute(values)
