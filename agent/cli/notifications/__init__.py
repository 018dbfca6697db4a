"""Commands of the user that run on this machine when a run ends, or when it confirms a gain."""
