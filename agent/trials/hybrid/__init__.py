"""Records of the hybrid modes: what a model offered, whose turn a trial was, and what each turn brought."""
