"""The settings of a script, wherever it keeps them, and the search space proposed from them."""
