"""Conditions on the points of a space, and how searchers meet them."""
