"""What a language model is shown, and how its replies are read."""
