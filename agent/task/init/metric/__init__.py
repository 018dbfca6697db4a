"""The metric by which a script is judged: where it is printed, under which name, in which direction."""
