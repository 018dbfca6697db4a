"""docs/options.md says what the program's own help says."""

from agent.errors import EXIT_CODES, AgentError
from tests.docs.options_page import PAGE, page


def test_the_page_of_options_is_that_of_this_program() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`, which writes docs/options.md"


def test_every_error_ends_with_an_exit_code_that_the_page_explains() -> None:
    kinds = [AgentError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {kind.exit_code for kind in kinds} <= set(EXIT_CODES)
