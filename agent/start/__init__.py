"""A first task for a folder with a training script: its text is read, and nothing of it is run."""
