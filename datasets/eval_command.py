"""`eval-hands`: arguments in, figures out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_verbosity,
    number,
    path,
    run_command,
)

_EVAL_DESCRIPTION = """\
Compare a result store with annotated 3D keypoints.

Prints MPJPE, root-aligned MPJPE and PA-MPJPE in mm, AUC over 0 to 50 mm, the 2D error in pixels
and the share of hands found; beside them the same for what the detector alone says.
Pictures are matched by file name.
"""


_EVAL_EPILOG = """\
examples:
  eval-hands results.zarr --dataset freihand FreiHAND_pub_v2_eval/
  eval-hands results.zarr --dataset freihand FreiHAND/ --range 0:75 --json figures.json

exit status:
  0    the figures were computed
  2    wrong usage or bad input, and one line says what
  70   a fault of the program, with a traceback to report
  130  interrupted
"""


def eval_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `eval-hands`."""
    parser = CommandParser("eval-hands", _EVAL_DESCRIPTION, _EVAL_EPILOG)
    parser.add_argument("store", type=path, metavar="STORE.zarr", help="written by fit-hands")
    parser.add_argument(
        "--dataset",
        nargs=2,
        required=True,
        metavar=("KIND", "DIR"),
        help="annotations to compare with; KIND is freihand (evaluation layout)",
    )
    parser.add_argument("--json", type=path, metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--missing-as", type=number, metavar="MM", help="charge a hand not found with this error"
    )
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="A:B",
        help="report images A to B - 1 of the data set apart as well; repeatable",
    )
    add_verbosity(parser)
    run_command(parser, arguments, _eval_hands)


def _eval_hands(options: argparse.Namespace) -> int:
    from datasets.freihand_evaluation import evaluate_command

    evaluate_command(options)
    return EXIT_OK
