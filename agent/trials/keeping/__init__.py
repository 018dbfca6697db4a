"""The rule for keeping a trial, and the statistics behind it."""
