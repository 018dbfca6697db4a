"""Notes, messages, pauses and approvals of people during a run."""
