"""A package with a training script of its own: `python -m curve.train`."""

from curve.shape import target as target
