"""The gateway between a coding agent and its model: it holds the key, meters each reply, and enforces the caps."""
