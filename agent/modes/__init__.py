"""Who writes the next edit: one file a mode."""
