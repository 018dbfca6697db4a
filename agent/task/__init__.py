"""task.toml and its frozen files, checked once."""
