"""Scripts are parsed by several threads at once: the proposer's, and the one that decides."""

import ast
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.edits.syntax import parse_expression, parse_script

WHOLE = Path(ast.__file__).read_text()[:20_000]
SOURCE = WHOLE[: WHOLE.rindex("\ndef ")]


class Noisy:
    """Garbage in a cycle, which lets other threads run when it is collected: in the middle of a parse."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        time.sleep(0)


@pytest.fixture
def often_collected() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(10)
    yield
    gc.set_threshold(*before)
    gc.enable()


def in_threads(parse: Callable[[str], ast.Module]) -> list[str]:
    def amid_garbage(_: int) -> str:
        gc.disable()
        for _ in range(5):
            Noisy()
        gc.enable()
        return ast.dump(parse(SOURCE))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(amid_garbage, range(40)))


@pytest.mark.usefixtures("often_collected")
def test_threads_that_parse_at_a_time_get_their_trees() -> None:
    assert set(in_threads(parse_script)) == {ast.dump(ast.parse(SOURCE))}


def test_an_expression_is_parsed() -> None:
    assert ast.unparse(parse_expression("a + b*2")) == "a + b * 2"
