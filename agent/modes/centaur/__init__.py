"""The Centaur: a searcher proposes every point, and on a share of the trials a model may put another in its place."""
