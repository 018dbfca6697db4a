"""What jobs see that must learn nothing of each other: copies in memory in place of the host's files."""
