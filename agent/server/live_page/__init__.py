"""`agent serve`: the table of runs and the page of each, kept up to date in a browser."""
