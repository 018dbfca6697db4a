"""The experiment of arXiv 2603.24647 without a GPU: a model fitted to its published trials replaces training."""
