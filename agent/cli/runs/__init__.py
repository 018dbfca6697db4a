"""The commands that read runs, and the one that removes them."""
