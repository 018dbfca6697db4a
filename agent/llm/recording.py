"""Recorded conversations: Transcript writes every request and reply, RecordedModel returns the replies again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from agent.errors import MissingRequirementError, ModelError, PromptTooLongError, UsageError
from agent.files import write_over
from agent.llm.masking import without_secrets
from agent.llm.model import Completion, Message, Model, Schema, legible
from agent.llm.replies.reasoning import split_reasoning

_MEASURED = tuple(field.name for field in fields(Completion) if field.name not in ("text", "model"))

WINDOW = 1_000_000  # tokens: no prompt is too long for a recording


class Transcript:
    """A model whose requests and replies are appended to `path` at once, one JSON object per line.

    The file is also a recording that RecordedModel reads. `secrets` are masked wherever they occur in it.
    """

    def __init__(self, model: Model, path: Path, secrets: Sequence[str] = (), *, failures: bool = True) -> None:
        """`failures`: whether to record calls that failed for good; too long a prompt is always recorded."""
        self.name = model.name
        self.context_tokens = model.context_tokens
        self._model = model
        self._path = path
        self._failures = failures
        self._secrets = tuple(secrets)

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        request = {"messages": [asdict(m) for m in messages], "schema": schema.name if schema else None}
        try:
            completion = self._model.complete(messages, schema)
        except ModelError as fault:
            too_long = isinstance(fault, PromptTooLongError)
            if self._failures or too_long:
                self._append({"error": str(fault), "prompt_too_long": too_long, "model": self.name, **request})
            raise
        data = asdict(completion)
        self._append({"reply": data.pop("text"), **data, **request})
        return completion

    def close(self) -> None:
        self._model.close()

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(without_secrets(record, self._secrets))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class RecordedModel:
    """Returns the replies of a recording in order, whatever the prompts: `--model replay:FILE`.

    A line is a JSON object with `reply` (the text; reasoning in it is taken out, as with an endpoint) or `error`. Other
    keys that Transcript writes are read too; unknown keys such as `note` are ignored, so that recordings can be written
    by hand.
    """

    def __init__(self, path: Path, used: int = 0) -> None:
        """Read `path` and skip the first `used` replies, which a resumed run used before.

        Raises:
            MissingRequirementError: there is no such file.
            UsageError: a line is not a reply; the message names it.
        """
        self.name = f"replay:{path.name}"
        self.context_tokens = WINDOW
        self._path = path
        self._records = _read(path)
        self._used = _end_of(self._records, used)

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        if self._used >= len(self._records):
            raise ModelError(
                f"{self._path}: all {len(self._records)} recorded replies are used up; "
                "set fewer trials, or record more replies"
            )
        record = self._records[self._used]
        self._used += 1
        if "error" in record:
            kind = PromptTooLongError if record.get("prompt_too_long") else ModelError
            raise kind(legible(str(record["error"])))
        measured = {name: record[name] for name in _MEASURED if record.get(name) is not None}
        inline, text = split_reasoning(legible(record["reply"]))
        measured["reasoning"] = measured.get("reasoning") or inline
        return Completion(text=text, model=record.get("model") or self.name, **measured)

    def close(self) -> None:
        pass


def cut_recording(path: Path, n_replies: int) -> None:
    """Cut the recording of a resumed run after its first `n_replies`; a killed run never used the later ones.

    Raises:
        MissingRequirementError, UsageError: there is no such file, or it is not a recording.
    """
    records = _read(path, may_be_empty=True)
    kept = "".join(f"{json.dumps(record)}\n" for record in records[: _end_of(records, n_replies)])
    if kept.encode() != path.read_bytes():
        write_over(path.resolve(), kept.encode(), mark=b"", force=True)


def _end_of(records: Sequence[dict[str, Any]], n_replies: int) -> int:
    """Return how many records hold the first `n_replies`; a record of a too long prompt is not a reply."""
    at = 0
    for _ in range(n_replies):
        at = next((n for n in range(at, len(records)) if "reply" in records[n]), len(records) - 1) + 1
    return at


def _read(path: Path, *, may_be_empty: bool = False) -> list[dict[str, Any]]:
    """Return the records of a file, without a last line that a kill has torn. Raises as `RecordedModel` does.

    `may_be_empty`: the torn line may be the only one.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise MissingRequirementError(f"there is no recording {path}; check the path after replay:") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path}: the recording cannot be read ({fault})") from None
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as fault:
            if number == len(lines) and (records or may_be_empty):
                break
            raise UsageError(f"{path}:{number}: not a JSON object ({fault}); write one per line") from None
        if isinstance(record, dict) and "dialect" in record:
            raise UsageError(f"{path}:{number}: an exchange of a coding agent; replay it with --agent")
        if not isinstance(record, dict) or not isinstance(record.get("reply", record.get("error")), str):
            raise UsageError(f'{path}:{number}: neither "reply" nor "error" is a string; write one of them')
        wrong = next((name for name, is_valid in _VALID.items() if not is_valid(record.get(name))), None)
        if wrong is not None:
            raise UsageError(f'{path}:{number}: "{wrong}" is not of the right type; correct it, or leave it out')
        records.append(record)
    return records


def _is_count(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _LARGEST)


def _is_amount(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= _LARGEST)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


_LARGEST = 10**12
_VALID = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "retries"), _is_count),
    **dict.fromkeys(("seconds", "dollars"), _is_amount),
    **dict.fromkeys(("finish_reason", "reasoning", "model"), _is_text),
}
"""Whether the value of a field may stand in a recording, by name of the field; null is as good as none."""
