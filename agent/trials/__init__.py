"""The records of a run: trials, repeats, events and their history; the rule by which trials are kept."""
