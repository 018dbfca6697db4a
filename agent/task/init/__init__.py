"""`agent init`: a first task for a folder with a training script, from the script's text; nothing of it is run."""
