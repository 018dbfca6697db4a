"""Commands for people and coding agents that use a run from outside: submit, steer, approve, connect."""
