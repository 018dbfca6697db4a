"""The commands that make a task of a user's own script."""
