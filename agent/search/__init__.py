"""Numeric search over a space of hyperparameters."""
