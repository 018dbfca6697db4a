"""Prompts are Markdown files with `$name` places, filled strictly: a name too many or too few is an error."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from agent.errors import PromptError
from agent.resources import folder

PARTS = ("system", "user", "repair")
"""The templates of every mode: who the model is, what it is asked, what it hears when its answer cannot be used."""


@dataclass(frozen=True)
class PromptSet:
    """The templates of one mode: one text for each of PARTS, and `format` where a mode has several."""

    mode: str
    texts: Mapping[str, str]

    @classmethod
    def load(cls, mode: str, root: Path | None = None, answer_format: str | None = None) -> "PromptSet":
        """Return the templates in `root`/`mode`; `root` is the installed folder `prompts` unless given.

        `answer_format` names one more file, which says in what form to answer: the part `format`.

        Raises:
            PromptError: a file is missing, or is no template.
        """
        place = (root or folder("prompts")) / mode
        try:
            texts = {part: (place / f"{part}.md").read_text(encoding="utf-8") for part in PARTS}
            if answer_format is not None:
                texts["format"] = (place / f"{answer_format}.md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise PromptError(f"the prompt of mode {mode!r} cannot be read: {fault}") from None
        for part, text in texts.items():
            if not Template(text).is_valid():
                raise PromptError(f"{place / part}.md has a `$` that starts no name; write `$$` for the sign")
        return cls(mode, texts)

    @property
    def hash(self) -> str:
        """Hash of all texts, 12 hexadecimal digits: it names what a trial's model was asked with."""
        whole = "\0".join(f"{part}\0{text}" for part, text in self.texts.items())
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    def fill(self, part: str, values: Mapping[str, str]) -> str:
        """Return the text of `part` with every place filled. Values are put in as they are, never read as templates.

        Raises:
            PromptError: a place has no value, or a value no place.
        """
        template = Template(self.texts[part])
        places = set(template.get_identifiers())
        if missing := sorted(places - values.keys()):
            raise PromptError(f"prompts/{self.mode}/{part}.md has a place ${missing[0]} that nothing fills; remove it")
        if unused := sorted(values.keys() - places):
            raise PromptError(f"prompts/{self.mode}/{part}.md has no place for ${unused[0]}; add it")
        return template.substitute(values)
