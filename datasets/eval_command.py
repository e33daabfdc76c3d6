"""`eval-hands`: arguments in, figures out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from datasets.evaluation_options import check_penalty, check_ranges, parse_range
from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_verbosity,
    number,
    path,
    run_command,
    text,
)
from fitter.errors import InputError

_EVAL_DESCRIPTION = """\
Compare a result store with annotated 3D keypoints.

Prints MPJPE, root-aligned MPJPE and PA-MPJPE in mm, AUC over 0 to 50 mm, the 2D error in pixels
and the share of hands found; beside them the same for what the detector alone says.
Images are matched by file name.
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
    parser.add_argument(
        "--keypoint-definition",
        type=text,
        metavar="NAME",
        help="score keypoints in this definition, posed from the stored parameters where the store "
        "has another: mediapipe, mano, openpose, freihand (what FreiHAND annotates) or ho3d",
    )
    add_verbosity(parser)
    run_command(parser, arguments, _eval_hands)


def _eval_hands(options: argparse.Namespace) -> int:
    evaluate_command(options)
    return EXIT_OK


def evaluate_command(options: argparse.Namespace) -> None:
    """What `eval-hands` does: print the table, and write the JSON where one is asked for.

    Arguments, data set and store are checked before anything heavy is imported.

    Args:
        options: `store`, `dataset` as (kind, folder), `json`, `missing_as`, `range` (a list of
            texts), `keypoint_definition` and `quiet`, as parsed from the command line.

    Raises:
        InputError: an option, the data set or the store is bad, see `load_freihand` and
            `evaluate_freihand`; the JSON cannot be written.
    """
    kind, folder = options.dataset
    if kind != "freihand":
        raise InputError("evaluation.kind", file="--dataset", found=kind)
    ranges = [parse_range(text) for text in options.range]
    check_penalty(options.missing_as)
    if options.keypoint_definition is not None:
        from datasets.evaluated_keypoints import check_definition

        check_definition(options.keypoint_definition)

    from datasets.freihand import load_freihand

    truth = load_freihand(Path(folder))
    check_ranges(ranges, truth.root, len(truth.names))

    from fitter.store.files import require_store

    require_store(options.store)

    from rich.console import Console

    from datasets.freihand_evaluation import evaluate_freihand

    found = evaluate_freihand(
        options.store, truth, ranges, options.missing_as, options.keypoint_definition
    )
    if options.json is not None:
        text = json.dumps(found.to_json(), indent=2, allow_nan=False)
        try:
            options.json.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(
                "output.cannot_write", file=options.json, reason=error.strerror
            ) from error
    if not options.quiet:
        Console().print(found.table())
