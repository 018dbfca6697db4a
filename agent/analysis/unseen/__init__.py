"""Slices of unseen text that are opened after the search: for a result, and for all results of a comparison."""
