"""Slices of unseen data: models answer about them, and the host computes who leads."""
