"""Records of the hybrid modes: the points that a model offered, the kind of each trial, and the gains of each kind."""
