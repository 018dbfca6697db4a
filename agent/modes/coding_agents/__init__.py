"""Mode code-edit with a coding agent in place of a chat model."""
