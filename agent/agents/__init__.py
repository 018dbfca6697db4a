"""Coding agents of other vendors: one file each, and what all have in common."""
