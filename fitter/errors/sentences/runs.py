"""Sentences about commands, devices, workers and clusters."""

SENTENCES: dict[str, str] = {}
