"""Sandboxes that run untrusted training code. They know processes, clocks and files; not git, models or losses."""
