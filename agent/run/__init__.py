"""The loop: propose, execute, judge, commit or revert."""
