"""Language models behind one protocol: remote, embedded, scripted or recorded."""
