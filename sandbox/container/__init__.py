"""The sandbox in a Docker container."""
