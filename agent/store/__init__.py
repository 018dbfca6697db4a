"""A run on disk: journal, git repository, run.json."""
