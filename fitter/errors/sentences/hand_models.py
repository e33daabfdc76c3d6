"""Sentences about hand models, appearance and priors."""

SENTENCES: dict[str, str] = {}
