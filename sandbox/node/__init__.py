"""One job on a node of a cluster: `python -m sandbox.node FOLDER` runs it in the sandbox that the folder names."""
