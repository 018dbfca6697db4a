"""Runs a script once and observes which files it misses, reads and writes: for `agent init --try`."""
