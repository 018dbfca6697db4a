"""A run on disk: journal, git, run.json."""
