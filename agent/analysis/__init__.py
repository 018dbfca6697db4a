"""Analyses of a finished run: replay, consistency, test split, ablation, comparison."""
