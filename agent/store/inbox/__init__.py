"""Messages to a run from other processes."""
