"""`agent init`: writes a first task for a folder with a training script, from the script's text, without running it."""
