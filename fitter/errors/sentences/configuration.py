"""Sentences about options, presets and configuration files."""

SENTENCES: dict[str, str] = {}
