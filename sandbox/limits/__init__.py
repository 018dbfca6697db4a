"""Limits on memory, processes and CPU: control groups, or polling where there are none."""
