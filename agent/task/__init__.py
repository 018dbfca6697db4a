"""Tasks: task.toml, its frozen files, and the prepared data."""
