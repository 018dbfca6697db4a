"""Mirrors runs to experiment trackers. Off unless asked for; each library is owned by one file."""
