"""Prints the table of cases and verdicts behind the tests."""

from collections import defaultdict
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    table: dict[str, dict[str, str]] = defaultdict(dict)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "verdict" and report.when == "call":
                    case, _, verdict = value.partition(": ")
                    kind = "docker" if "docker" in report.nodeid else "bubblewrap"
                    table[case][kind] = verdict if outcome == "passed" else f"FAILED: {verdict}"
    if not table:
        return
    terminalreporter.section("attacks")
    terminalreporter.write_line(f"{'case':22}{'bubblewrap':48}docker")
    for case, verdicts in table.items():
        row = [verdicts.get(kind, "not run")[:46] for kind in ("bubblewrap", "docker")]
        terminalreporter.write_line(f"{case:22}{row[0]:48}{row[1]}")
