"""What `agent doctor` checks: the machine, and coding agents."""
