"""The options of a search: defined once for `agent run` and `agent compare`, shown in groups, made a RunConfig."""
