"""What a model rejects in its reasoning is not part of its answer, however the reasoning is marked."""

import pytest

from agent.llm.replies.reasoning import split_reasoning

ANSWER = "TITLE: lower W\n\n<<<<<<< SEARCH\nW = 2.0\n=======\nW = 1.0\n>>>>>>> REPLACE\n"
DRAFT = "First:\n<<<<<<< SEARCH\nV = 3.0\n=======\nV = 9.0\n>>>>>>> REPLACE\nNo, that is worse."
TITLE, BLOCK = ANSWER.split("\n\n")

PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Reasoning>", "</Reasoning>"),
    ("<thought>", "</thought>"),
    ("<think duration='3'>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>\n\n<|begin_of_solution|>"),
]


@pytest.mark.parametrize(("opens", "closes"), PAIRS)
@pytest.mark.parametrize("has_opening", [True, False])
def test_each_spelling_is_known_with_and_without_its_opening(opens: str, closes: str, has_opening: bool) -> None:
    reasoning, answer = split_reasoning(f"{opens if has_opening else ''}\n{DRAFT}\n{closes}\n\n{ANSWER}")
    assert (reasoning, answer.strip()) == (DRAFT, ANSWER.strip())


@pytest.mark.parametrize(
    "reply",
    [
        f"{DRAFT}</think>{ANSWER}",
        f"<think>\n{DRAFT}</think>\n\n<think>\n{DRAFT}\n</think>\n{ANSWER}",
        f"<think>Not <think> again. {DRAFT}\n</think>\n{DRAFT}</think>\n{ANSWER}",
        f"<think>The tag `</think>` ends it.\n{DRAFT}\n</think>\n{ANSWER}",
        f"We use <think> here.\n{DRAFT}\n</think>\n{ANSWER}",
        f"<think>\n```python\n{DRAFT}\n</think>\n{ANSWER}",
        f"{TITLE}\n<think>\n{DRAFT}\n</think>\n\n{BLOCK}",
        f"{TITLE}\n\n{BLOCK}<think>\n{DRAFT}\n</think>\n",
        f"{TITLE}\n\n{BLOCK}\n<think>\n{DRAFT}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"<|channel|>final <|constrain|>text<|message|>{ANSWER}<|return|>",
        f"analysisWe draft. {DRAFT}assistantfinal{ANSWER}",
        f"{ANSWER}<|im_end|>",
        f"<answer>\n{ANSWER}</answer>",
    ],
)
def test_only_the_answer_is_left(reply: str) -> None:
    answer = split_reasoning(reply)[1]
    assert "V = 9.0" not in answer
    assert answer.split() == ANSWER.split()
    assert split_reasoning(answer) == ("", answer)


@pytest.mark.parametrize(
    "reply",
    [
        ANSWER,
        'TITLE: keep the tags\n<<<<<<< SEARCH\nTAG = "<think>"\n=======\nTAG = "</think>"\n>>>>>>> REPLACE\n',
        "TITLE: plan\n<<<<<<< SEARCH\n<think>\nplan\n</think>\n=======\n<think>\nplan all\n</think>\n>>>>>>> REPLACE\n",
        'TITLE: all\n```python\nP = """\n<think>\nplan\n</think>\n"""\nx = text[1:]  # after </think>\n```\n',
        'import os\nP = """\n<think>\nplan\n</think>\n"""\nprint(P)\n',
        f"TITLE: mask <think>...</think> in the loss\n{BLOCK}",
        "TITLE: x\nFinal answer:\n" + BLOCK,
        '{"TAG": "<think>x</think>"}',
        "analysis = 3\nx = 'assistantfinal'\n",
        "",
    ],
)
def test_tags_in_an_answer_stay_where_they_are(reply: str) -> None:
    assert split_reasoning(reply) == ("", reply)


@pytest.mark.parametrize("reply", ["<think>", f"<think>\n{DRAFT}", f"<|channel|>analysis<|message|>{DRAFT}"])
def test_reasoning_without_an_answer_leaves_none(reply: str) -> None:
    assert split_reasoning(reply)[1] == ""
