"""A night of edits: centaur-code beside code-edit and local-gp, with edits from a list in place of a model's."""
