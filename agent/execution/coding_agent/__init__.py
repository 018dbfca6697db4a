"""Runs a coding agent in a sandbox of its own."""
