"""A log as a terminal shows it: the last state of a progress bar, colours as classes, nothing that acts."""

import pytest

from agent.report.html.texts.terminal_log import terminal_lines


def shown(log: str, n_lines: int = 60) -> list[object]:
    return [line.to_json() for line in terminal_lines(log, n_lines)]


def test_a_progress_bar_shows_its_last_state() -> None:
    bar = "".join(f"\r{done:3}%|{'#' * (done // 10):10}|" for done in range(0, 101, 10))
    assert shown(f"begin{bar}\nend\n") == ["100%|##########|", "end"]


def test_colours_are_classes_with_names_of_the_page() -> None:
    assert shown("\x1b[1;31mbad\x1b[0m good \x1b[48;2;0;200;0mon\x1b[0m") == [
        [["ansi-red ansi-bold", "bad"], ["", " good "], ["ansi-on-green", "on"]]
    ]


def test_a_colour_lasts_until_it_is_reset_on_a_later_line() -> None:
    assert shown("\x1b[32ma\nb\x1b[0m\nc") == [[["ansi-green", "a"]], [["ansi-green", "b"]], "c"]


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ("long text\r\x1b[Kshort", ["short"]),
        ("long text\rshort", ["shorttext"]),
        ("abc\b\bX", ["aXc"]),
        ("a\nb\x1b[1A\rA", ["A", "b"]),
        ("\x1b]0;a title of the window\x07text", ["text"]),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\ after", ["link after"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("bell\x07 and \u202e", ["bell\\x07 and \\u202e"]),
    ],
)
def test_what_a_terminal_does_with_a_line(log: str, lines: list[str]) -> None:
    assert shown(log) == lines


def test_only_the_last_lines_are_shown() -> None:
    assert shown("".join(f"{n}\n" for n in range(100)), 2) == ["98", "99"]
    assert shown("".join(f"\x1b[1m{n}\n" for n in range(100)), 1) == [[["ansi-bold", "99"]]]


def test_an_empty_log_has_no_lines() -> None:
    assert shown("") == []


@pytest.mark.parametrize(
    "piece", ["\x1b]", "\x1b[31mx\x1b[A", "x\x1b[999B", "x\b", "\x1b[38;5;", "\x1b[31mx\r", "é\x1b[K"]
)
def test_a_log_made_to_be_slow_has_bounded_lines(piece: str) -> None:
    lines = terminal_lines((piece * 20_000)[:20_000], 60)
    assert len(lines) <= 60
    assert sum(line.n_characters for line in lines) < 100_000
