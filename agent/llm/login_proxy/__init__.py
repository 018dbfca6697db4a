"""The proxy of --agent-login: lets a coding agent with a log-in of its own reach the hosts of its provider."""
