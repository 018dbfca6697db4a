"""Prints the table of cheats and verdicts at the end."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        (value, outcome)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == "cheat" and report.when == "call"
    ]
    if rows:
        terminalreporter.section("cheats at the score")
    for (cheat, status, kept, why), outcome in rows:
        came = f"{status}{', kept' if kept else ''}"
        terminalreporter.write_line(f"{cheat:34}{came if outcome == 'passed' else 'FAILED: ' + came:18}{why[:60]}")
