"""The command `fit-hands`, and what all commands share: a parser and how a command ends.

Nothing heavy is imported before the arguments are parsed, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.commands.parser import CommandParser, run_command

__all__ = ["CommandParser", "run_command"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CommandParser": "fitter.commands.parser",
        "run_command": "fitter.commands.parser",
    },
)
