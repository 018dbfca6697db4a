"""Language models behind one protocol: remote, embedded, scripted, recorded."""
