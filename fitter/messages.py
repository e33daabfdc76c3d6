"""How texts are shown to the user: each on one line, whatever a file name brings along."""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with line breaks and control characters written as escapes.

    A file name may hold any of them, and a terminal would obey them.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def count(number: int, noun: str) -> str:
    """``count(1, "hand")`` -> "1 hand", ``count(2, "hand")`` -> "2 hands"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
