"""The text of replies, whoever sends them."""
