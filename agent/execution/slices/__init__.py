"""Turns the artifact of a training job into a score that the host can vouch for."""
