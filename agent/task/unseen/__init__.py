"""Data that no trial is scored on: the pool of text, and the rows of a validation split that are kept back."""
