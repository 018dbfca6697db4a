"""Numeric searchers over a space of hyperparameters."""
