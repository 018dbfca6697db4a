"""Coding agents of other vendors: one file each, and their common parts."""
