"""Measures the machine's speed, and repeats an attempt if it has changed."""
