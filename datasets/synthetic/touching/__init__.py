"""Hands that touch each other or what they hold, with nothing inside anything."""
