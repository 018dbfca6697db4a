"""Who writes the next edit: one file a kind of proposer."""
