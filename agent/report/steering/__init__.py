"""What people added to a run, for terminals, JSON and the HTML page."""
