"""Commands for people and agents outside of a run: submit, steer, approve, connect."""
