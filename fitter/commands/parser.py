"""What the commands share: a parser, kinds of arguments, common options, and how a run of one ends.

Nothing heavy is imported before the arguments are parsed, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from fitter.errors import InputError, LostError, UserError
from fitter.rendering.overlay_style import LOOKS, OverlayStyle
from fitter.system.messages import EXIT_LOST, KEPT, one_line

EXIT_OK = 0
EXIT_SOME_FAILED = 1
"""The run was finished, but some images or fits failed."""
EXIT_USAGE = 2
"""Wrong usage or bad input."""
EXIT_WAITS = 3
"""A share of a run has done its part, and goes on when others have done theirs."""
EXIT_FAULT = 70
"""A fault of the program; that of "internal software error" in sysexits.h."""
EXIT_INTERRUPTED = 130
"""Ctrl-C; what a shell says of a program that SIGINT ended."""


class CommandParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, and knows no abbreviated options."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        """As `argparse.ArgumentParser`; description and epilog are printed as they are."""
        super().__init__(
            prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """End the program with `EXIT_USAGE` and the message."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def text(given: str) -> str:
    """Type of an argument that is not empty, as an unset shell variable would leave it."""
    if not given:
        raise argparse.ArgumentTypeError("expected a value, found an empty text")
    return given


def path(given: str) -> Path:
    """Type of an argument that is a path."""
    return Path(text(given))


def parts(given: str) -> tuple[str, ...]:
    """Type of an argument of several words with commas between them."""
    return tuple(part.strip() for part in text(given).split(","))


def whole_number(given: str) -> int:
    """Type of an argument that is a whole number of any sign."""
    try:
        return int(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {given!r}") from None


def whole_number_or_auto(given: str) -> int | str:
    """Type of an argument that is a whole number of any sign, or "auto"."""
    if given == "auto":
        return given
    try:
        return int(given)
    except ValueError:
        expected = "a whole number or auto"
        raise argparse.ArgumentTypeError(f"expected {expected}, found {given!r}") from None


def number(given: str) -> float:
    """Type of an argument that is a number of any sign, perhaps not a finite one."""
    try:
        return float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {given!r}") from None


def number_from_zero(given: str) -> float:
    """Type of an argument that is a finite number from 0 on."""
    found = number(given)
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, found {given!r}")
    return found


def positive(
    kind: type[int] | type[float], most: float | None = None
) -> Callable[[str], int | float]:
    """Type of an argument that is a finite number above 0.

    Args:
        kind: whether it has to be a whole one.
        most: the largest one allowed, None for any.
    """
    upper = math.inf if most is None else most
    expected = "a number above 0" + ("" if most is None else f" and up to {most:,.0f}")

    def above_zero(given: str) -> int | float:
        found = whole_number(given) if kind is int else number(given)
        if not (0 < found <= upper and found != math.inf):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {given!r}")
        return found

    return above_zero


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that has a configuration."""
    parser.add_argument(
        "--config",
        type=path,
        metavar="YAML|NAME",
        help="configuration file, or the name of a preset: default, detailed, interaction, "
        "textured, realistic_hands, s2hand, nimble_render_compare",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one option of the configuration, such as fit.max_iterations=50; repeatable",
    )


OVERLAY_FLAGS = ("overlay_style", "overlay_opacity", "overlay_views")
"""Names of the options that `add_overlay_style` adds."""


def add_overlay_style(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that draws hands over their photographs."""
    parser.add_argument(
        "--overlay-style",
        choices=LOOKS,
        help="mesh (default): shaded; outline: contour and creases alone; side-by-side: the "
        "photograph beside its mesh; appearance: the hand in its fitted skin and light",
    )
    parser.add_argument(
        "--overlay-opacity",
        type=number,
        metavar="X",
        help="of the mesh or the lines, 0 to 1 (default 0.75 for a shaded mesh, else 1)",
    )
    parser.add_argument(
        "--overlay-views",
        type=parts,
        metavar="VIEWS",
        help="show the hands from other sides, too, beside the photograph, where errors of depth "
        "are seen: side, top, back, or several such as side,top",
    )


def overlay_style(options: argparse.Namespace) -> OverlayStyle:
    """What the options of `add_overlay_style` say.

    Raises:
        InputError: there is no such style.
    """
    style, opacity, views = (getattr(options, name) for name in OVERLAY_FLAGS)
    try:
        return OverlayStyle.of(style, opacity, views)
    except InputError as error:
        raise error.about(file=f"--overlay-{error.facts['file']}") from error


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command: how much it says, and which version it is."""
    quiet = "print errors alone: no progress and no summary"
    parser.add_argument("-q", "--quiet", action="store_true", help=quiet)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('fit-hands')}")


def run_command(
    parser: CommandParser,
    arguments: Sequence[str] | None,
    command: Callable[[argparse.Namespace], int],
) -> NoReturn:
    """Parse the arguments, do what they ask for, and end the program with its exit status.

    A user's mistake and lost machines are told in one sentence, a fault with its traceback.

    Args:
        parser: has `add_verbosity`'s options.
        arguments: without the program's name; None for those of this process.
        command: takes the parsed arguments and returns an exit status.
    """
    options, rest = parser.parse_known_args(arguments)
    if rest:
        # Either unknown ones, or a list with options in its midst: "a.jpg --out r.zarr b.jpg". The
        # other order would name only some of the arguments that are missing.
        options = parser.parse_intermixed_args(arguments)
    _prepare_process(options.verbose)
    status = EXIT_FAULT
    try:
        status = command(options)
    except KeyboardInterrupt:
        kept = f"; {KEPT}" if "out" in options else ""
        print(f"{parser.prog}: interrupted{kept}", file=sys.stderr)
        status = EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, UserError):
            print(f"{parser.prog}: {one_line(str(error))}", file=sys.stderr)
            status = EXIT_LOST if isinstance(error, LostError) else EXIT_USAGE
        else:
            traceback.print_exc()
    sys.exit(status)


def _prepare_process(verbose: bool) -> None:
    # Libraries speak up about errors alone; --verbose is about what this program does.
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    for package in ("fitter", "datasets"):
        logging.getLogger(package).setLevel(logging.INFO if verbose else logging.ERROR)
    # Idle threads of OpenMP spin by default. With rendering on threads of its own beside PyTorch's,
    # they then keep each other from the processor: steps of adam took up to 25 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
