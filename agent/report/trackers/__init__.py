"""Logs runs to experiment trackers. Off by default; each library has one file that imports it."""
