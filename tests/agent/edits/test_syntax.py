"""Scripts are parsed by several threads at once: the proposer's, and the one that decides."""

import ast
import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.edits.syntax import parse_expression, parse_script

SOURCE = Path(ast.__file__).read_text()


def test_many_threads_parse_the_same_script_to_the_same_tree() -> None:
    expected = ast.dump(ast.parse(SOURCE))
    before = gc.get_threshold()
    gc.set_threshold(5)  # the collector lets other threads run in the middle of a parse
    try:
        with ThreadPoolExecutor(6) as pool:
            trees = list(pool.map(parse_script, [SOURCE] * 24))
    finally:
        gc.set_threshold(*before)
    assert all(ast.dump(tree) == expected for tree in trees)


def test_an_expression_is_parsed() -> None:
    assert ast.unparse(parse_expression("a + b*2")) == "a + b * 2"
