"""Sentences about the result store and other output."""

SENTENCES: dict[str, str] = {}
