"""The gateway between a coding agent and its model: it holds the key, meters each reply, and shuts at a cap."""
