"""Runs one script: sandbox, training job, score, outcome."""
