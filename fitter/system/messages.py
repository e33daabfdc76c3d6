"""How texts are shown to the user: each on one line, whatever a file name brings along."""

from __future__ import annotations

KEPT = "what is done is kept, and --resume continues"
"""What a run that ends early may promise."""

EXIT_LOST = 75
"""Exit status of a run whose machines were lost; that of "try again later" in sysexits.h."""


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
