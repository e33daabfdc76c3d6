"""Sentences about training runs and their samples."""

SENTENCES: dict[str, str] = {}
