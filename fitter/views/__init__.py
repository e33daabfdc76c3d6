"""Hands that several calibrated cameras see: matched, placed and fitted together."""
