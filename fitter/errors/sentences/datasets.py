"""Sentences about data sets, rendered samples and their evaluation."""

SENTENCES: dict[str, str] = {}
