"""The commands for a new user: a first run, and the settings that all later runs start from."""
