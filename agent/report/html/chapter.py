"""One part of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.report.html.charts.chart import Chart
from agent.report.table import Table

MAX_RUN_CHARTS = 12
"""How many runs get a chart of their own when there are several; the comparison chart shows all runs."""


@dataclass(frozen=True)
class Chapter:
    """One part of a page: charts, tables or both."""

    name: str  # id on the page
    title: str
    note: str = ""  # how to read it
    charts: Sequence[tuple[str, Chart]] = ()  # each with the name of its tab or run
    tabs: bool = False  # whether one chart is shown at a time
    tables: Sequence[Table] = ()
    folded: str = ""  # label that unfolds the tables; empty: tables are always shown
