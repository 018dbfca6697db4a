"""The records of a run: trial, repeat, events and their history; when a trial is kept."""
