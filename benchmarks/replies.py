"""CPU time to read one reply of a model, in each edit format: ordinary replies, and the worst that were thought of.

Run `python -m benchmarks.replies`. The time of a reply should be far below that of a trial, whatever a model sends.
"""

import contextlib
import time
from collections.abc import Callable, Mapping

from agent.edits.formats import FORMATS
from agent.edits.replies.json_object import json_object
from agent.errors import EditError
from agent.llm.replies.reasoning import split_reasoning
from agent.resources import folder

N_TIMES = 3  # the fastest counts: other programs run on the machine too


def replies(source: str) -> Mapping[str, str]:
    """Return replies by name; the ordinary ones change the first constant of `source`."""
    line = next(text for text in source.split("\n") if text[:1].isupper() and " = " in text)
    new = f"{line}  # changed"
    block = "<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE\n"
    return {
        "ordinary search-replace": "TITLE: x\n\n" + block.format(line, new),
        "ordinary diff": f"TITLE: x\n```diff\n@@\n-{line}\n+{new}\n```\n",
        "ordinary whole-file": f"TITLE: x\n```python\n{source.replace(line, new)}```\n",
        "ordinary JSON": '{"title": "x", "search": "a", "replace": "b"}',
        "4,000 blocks that do not match": "".join(block.format(f"X = {n}.0", "y") for n in range(4_000)),
        "20,000 dividers and 2,000 ends": "<<<<<<< SEARCH\n" + "=======\n" * 20_000 + ">>>>>>> REPLACE\n" * 2_000,
        "20,000 openings": "<<<<<<< SEARCH\n" * 20_000,
        "30,000 fences": "```\n" * 30_000,
        "15,000 fenced texts": "```a\n```\n" * 15_000,
        "20,000 heads of diffs": "--- a\n+++ train.py\n" * 20_000,
        "20,000 lines of a hunk": "@@\n" + "-x\n+y\n" * 20_000,
        "300,000 blanks in a title": f"TITLE: x{' ' * 300_000}y\n",
        "300,000 line ends": "\n" * 300_000,
        "30,000 openings of reasoning": "<think>" * 30_000,
        "20,000 pieces of reasoning": "<think>x</think>" * 20_000,
        "50,000 levels of JSON": '{"a":' * 50_000,
    }


def cpu_seconds(read: Callable[[str], object], reply: str) -> float:
    """Return the CPU seconds of reading `reply`; a reply that is refused counts like any other."""
    begun = time.process_time()
    with contextlib.suppress(EditError):
        read(split_reasoning(reply)[1])
    return time.process_time() - begun


def main() -> None:
    source = (folder("train_template") / "train.py").read_text(encoding="utf-8")
    readers: dict[str, Callable[[str], object]] = {
        name: lambda reply, form=form: form.parse(reply, "train.py", source).apply(source)  # type: ignore[misc]
        for name, form in FORMATS.items()
    }
    readers["values"] = json_object
    print(f"CPU milliseconds, best of {N_TIMES}; the script has {source.count(chr(10))} lines\n")
    print(f"{'reply':34}" + "".join(f"{name:>16}" for name in readers))
    for name, reply in replies(source).items():
        times = (min(cpu_seconds(read, reply) for _ in range(N_TIMES)) for read in readers.values())
        print(f"{name:34}" + "".join(f"{1000 * seconds:16.1f}" for seconds in times))


if __name__ == "__main__":
    main()
