"""Git as the repository of runs uses it: commands without anybody's settings, locks, and objects computed here."""
