"""What turns the artifact of a training job into a score that the host stands behind."""
