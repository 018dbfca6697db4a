"""Places that run untrusted training code: they know processes, clocks and files; nothing of git, models or loss."""
