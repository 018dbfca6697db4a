"""What a run shows while it works: its console output, and the view of `agent watch`."""
