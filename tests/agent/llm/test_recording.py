"""What is said to a model is on disk, and can be said again."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.errors import MissingRequirementError, ModelError, PromptTooLongError, UsageError
from agent.llm.model import Completion, Message, Schema
from agent.llm.recording import RecordedModel, Transcript, cut_recording
from agent.llm.scripted import ScriptedModel

ASK = [Message("user", "Which bird?")]


def too_long(messages: Sequence[Message]) -> str:
    raise PromptTooLongError("9011 tokens, 8192 fit")


def test_a_recording_replays_exactly(tmp_path: Path) -> None:
    path = tmp_path / "0007" / "llm.jsonl"
    first = Completion("A heron — grey.", "m", "stop", "long legs", 11, 7, 0.5, 0.001)
    model = Transcript(ScriptedModel([first, too_long, "A stork."]), path)
    model.complete(ASK, Schema("bird", {}))
    with pytest.raises(PromptTooLongError):
        model.complete(ASK)
    model.complete(ASK)

    again = RecordedModel(path)
    assert again.complete(ASK) == first
    with pytest.raises(PromptTooLongError, match="9011 tokens"):
        again.complete(ASK)
    assert again.complete(ASK).text == "A stork."


def test_reasoning_in_a_recording_is_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text(json.dumps({"reply": "<thinking>a stork?</thinking>\nA heron."}) + "\n")
    completion = RecordedModel(path).complete(ASK)
    assert (completion.text, completion.reasoning) == ("A heron.", "a stork?")


def test_each_line_holds_the_whole_request(tmp_path: Path) -> None:
    path = tmp_path / "llm.jsonl"
    Transcript(ScriptedModel(["A heron."]), path).complete(ASK, Schema("bird", {}))
    record = json.loads(path.read_text())
    assert record["messages"] == [{"role": "user", "content": "Which bird?"}]
    assert (record["reply"], record["schema"]) == ("A heron.", "bird")


def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "llm.jsonl"
    model = Transcript(ScriptedModel(["You sent sk-123."]), path, secrets=["sk-123", ""])
    model.complete([Message("user", "My key is sk-123")])
    assert "sk-123" not in path.read_text()
    assert json.loads(path.read_text())["reply"] == "You sent [secret]."


def test_a_recording_that_runs_out_says_so(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"reply": "A heron.", "note": "by hand"}\n\n')
    model = RecordedModel(path)
    model.complete(ASK)
    with pytest.raises(ModelError, match="all 1 recorded replies are used up"):
        model.complete(ASK)


def test_a_resumed_run_goes_on_after_the_replies_it_used(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"reply": "A heron."}\n{"reply": "A stork."}\n')
    assert RecordedModel(path, used=1).complete(ASK).text == "A stork."


@pytest.mark.parametrize("line", ["{broken", "[]", '{"text": "A heron."}', '{"reply": 3}'])
def test_a_line_that_is_no_reply_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"reply": "A heron."}\n' + line + "\n")
    with pytest.raises(UsageError, match=r"replies.jsonl:2: "):
        RecordedModel(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt_tokens", '"many"'), ("prompt_tokens", "-5"), ("completion_tokens", "1.5"), ("retries", "true"),
        ("seconds", '"1"'), ("dollars", "1e999"), ("dollars", "NaN"), ("dollars", "[]"), ("reasoning", "5"),
        ("finish_reason", '["stop"]'), ("model", "{}"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_named(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text(f'{{"reply": "A heron.", "{field}": {value}}}\n')
    with pytest.raises(UsageError, match=f'replies.jsonl:1: "{field}" is not of the right type'):
        RecordedModel(path)


def test_a_field_that_is_null_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"reply": "A heron.", "prompt_tokens": null, "dollars": null, "model": null, "note": [1]}\n')
    completion = RecordedModel(path).complete(ASK)
    assert (completion.prompt_tokens, completion.dollars, completion.model) == (0, None, "replay:replies.jsonl")


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirementError, match=r"none.jsonl"):
        RecordedModel(tmp_path / "none.jsonl")


def test_a_scripted_model_that_runs_out_says_so() -> None:
    with pytest.raises(ModelError, match="used up"):
        ScriptedModel([]).complete(ASK)


def test_a_recording_goes_on_after_what_was_used(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    model = Transcript(ScriptedModel([too_long, "A heron.", "A stork.", "lost by a kill"]), path, failures=False)
    with pytest.raises(PromptTooLongError):
        model.complete(ASK)
    for _ in range(3):
        model.complete(ASK)
    cut_recording(path, 2)
    assert [json.loads(line).get("reply") for line in path.read_text().splitlines()] == [None, "A heron.", "A stork."]
    assert RecordedModel(path, used=1).complete(ASK).text == "A stork."


@pytest.mark.parametrize("n_whole", [0, 1])
def test_a_last_line_that_a_kill_has_torn_is_cut(tmp_path: Path, n_whole: int) -> None:
    path = tmp_path / "night.jsonl"
    model = Transcript(ScriptedModel(["A heron."] * 2), path)
    for _ in range(n_whole + 1):
        model.complete(ASK)
    path.write_text(path.read_text()[:-9])
    if n_whole:
        assert RecordedModel(path).complete(ASK).text == "A heron."
    else:
        with pytest.raises(UsageError, match=r"night.jsonl:1: not a JSON object"):
            RecordedModel(path)
    cut_recording(path, n_whole)
    assert len(path.read_text().splitlines()) == n_whole
    assert path.read_text().endswith("\n") == bool(n_whole)


def test_failures_that_end_a_run_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    with pytest.raises(ModelError):
        Transcript(ScriptedModel([]), path, failures=False).complete(ASK)
    assert not path.exists()
