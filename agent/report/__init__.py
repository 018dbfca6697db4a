"""Output for people: text, JSON documents, HTML pages and trackers."""
