"""Slices opened after the search: for the result of a run, and for all results of a comparison."""
