"""The prompts of language models, and the parsing of their replies."""
