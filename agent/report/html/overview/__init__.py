"""The top of a page: what came of the runs, what it cost, and what to look at next."""
