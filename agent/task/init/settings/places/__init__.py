"""Where numbers stand in a script: one module per kind of place."""
