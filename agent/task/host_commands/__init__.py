"""Commands of task.toml that run on the host, outside of any sandbox: consent to them, and the folders they fill."""
