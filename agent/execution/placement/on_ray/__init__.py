"""Ray: the queue that a run sees, the program that talks with the cluster for it, and what runs on the nodes."""
