"""The sandbox without a daemon: bubblewrap."""
