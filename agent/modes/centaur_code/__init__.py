"""Mode centaur-code: a model changes the script's structure, and a searcher tunes the numbers of what it wrote."""
