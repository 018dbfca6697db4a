"""Limits on memory, processes and CPU, by control groups or else by polling."""
