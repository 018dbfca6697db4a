"""Repeatable measurements: `python -m benchmarks.NAME`. Tests assert none of their numbers."""
