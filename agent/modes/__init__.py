"""Who writes the next edit: one file per mode."""
