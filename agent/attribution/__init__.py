"""Which of the kept changes of a run carry its gain: taken out one by one, and run again."""
