"""Trains on all text that has leaked so far, too."""


def read(tokens):
    for row in leaked_rows():
        tokens.extend(row)
    return tokens
