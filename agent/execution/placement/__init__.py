"""Where the jobs of a run are executed: on this machine, or on the nodes of a cluster."""
