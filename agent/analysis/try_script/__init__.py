"""`agent init --try`: runs a script a few times in the sandbox, and corrects what init guessed by what was seen."""
