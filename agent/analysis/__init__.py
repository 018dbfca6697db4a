"""Questions to a finished run: replay, consistency, test split, ablation, comparison."""
