"""Parsers of a model's reply, one file per edit format. A reply is understood as a whole or refused as a whole."""
