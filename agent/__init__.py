"""Autocentaur: an agentic code-editing sandbox for training scripts."""

__version__ = "0.1.0"
