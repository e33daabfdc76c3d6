"""Sentences about weights and networks, the detector's among them."""

SENTENCES: dict[str, str] = {}
