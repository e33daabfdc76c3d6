"""The command `export-hands`: a client of `fitter.export_results`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fitter.commands.parser import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    CommandParser,
    add_verbosity,
    number_from_zero,
    path,
    run_command,
    text,
)

_FORMATS = ("glb", "obj", "ply", "bvh", "csv", "json", "freihand", "coco", "mano-npz", "rrd")

_DESCRIPTION = """\
Write the hands of a result store as files that other programs read.

glb, obj, ply   meshes with colours or a texture, a file for each hand, each image or each person;
                glb has normals and a skeleton that animates (y up), the others are in the camera
                frame (x right, y down, z away)
bvh             skeletons in motion, a file for each track of a video
csv             a table, one row a hand
json            a list of objects, one a hand
coco            COCO-WholeBody's keypoints of the hands
freihand        FreiHAND's submission, pred.json: one hand an image, null where there is none
mano-npz        MANO's parameters under smplx's names; hands of other models are converted with
                --mano, and each file says how well
rrd             a recording for the Rerun viewer: pictures, cameras, meshes, keypoints in time
PLACE is a folder for glb, obj, ply, bvh and mano-npz, else a file. docs/export.md lists every
column.
"""

_EPILOG = """\
examples:
  export-hands results.zarr --format glb --out meshes/
  export-hands results.zarr --format glb --per image --min-score 0.5 --out scenes/
  export-hands results.zarr --format glb --out textured/ --textures photos/
  export-hands results.zarr --format csv --out hands.csv --only 'anna/*' --side left
  export-hands results.zarr --format mano-npz --mano MANO_RIGHT.pkl --out mano/
  export-hands results.zarr --format bvh --out motions/
  export-hands results.zarr --format glb --per track --out animations/
  export-hands results.zarr --format rrd --images videos/ --out results.rrd
  export-hands results.zarr --format freihand --mano MANO_RIGHT.pkl --out pred.json

exit status:
  0    everything that was asked for is there
  1    finished, but hands were left out whose fit failed, or have no texture; the summary says
       which
  2    wrong usage or bad input, and one line says what; no file is there in part
  70   a fault of the program, with a traceback to report
  130  interrupted; a file that is there is whole
"""


def export_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `export-hands`."""
    parser = CommandParser("export-hands", _DESCRIPTION, _EPILOG)
    parser.add_argument("store", type=path, metavar="STORE.zarr", help="written by fit-hands")
    parser.add_argument("--format", choices=_FORMATS, required=True, help="what to write")
    parser.add_argument("--out", type=path, required=True, metavar="PLACE", help="where to")
    parser.add_argument(
        "--per",
        choices=("hand", "image", "person", "track"),
        help="what a file of glb, obj, ply or mano-npz holds: a hand (default), the hands of an "
        "image, of a person the surest hand of each side, or a track of a video, with an animation "
        "(glb; of bvh always)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    _add_selection(parser)
    models = parser.add_argument_group("hand models and images")
    models.add_argument(
        "--mano",
        type=path,
        metavar="FILE",
        help="your MANO_RIGHT.pkl: hands of other models become MANO's (mano-npz, freihand)",
    )
    models.add_argument(
        "--model",
        type=path,
        metavar="FILE",
        help="where the hand model of the results is now, if it is not where it was",
    )
    models.add_argument(
        "--textures",
        type=path,
        metavar="DIR",
        help="folder of the images: textures are extracted from them (glb, obj, ply); with --per "
        "person one of all images of the person",
    )
    models.add_argument(
        "--images",
        type=path,
        metavar="DIR",
        help="folder of the images or videos, whose pictures go with the hands (rrd)",
    )
    add_verbosity(parser)
    run_command(parser, arguments, _export_hands)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Which hands, and how much of them."""
    chosen = parser.add_argument_group("which hands")
    chosen.add_argument(
        "--only",
        type=text,
        action="append",
        default=[],
        metavar="NAME|PATTERN",
        help="only those of these images, by name or pattern such as 'anna/*'; repeatable",
    )
    chosen.add_argument(
        "--min-score",
        type=number_from_zero,
        default=0.0,
        metavar="P",
        help="only those whose score is at least P (default 0)",
    )
    chosen.add_argument("--side", choices=("left", "right"), help="only those of this side")
    chosen.add_argument(
        "--include-invalid",
        action="store_true",
        help="also hands that are not valid: refused ones, and in csv and json failed fits",
    )
    chosen.add_argument(
        "--save-vertices",
        action="store_true",
        help="put every mesh into json as well, with its texture where one was fitted",
    )


def _export_hands(options: argparse.Namespace) -> int:
    from fitter.export.request import ExportRequest

    request = ExportRequest(
        store=options.store,
        out=options.out,
        format=options.format,
        per=options.per,
        only=options.only,
        min_score=options.min_score,
        side=options.side,
        include_invalid=options.include_invalid,
        overwrite=options.overwrite,
        mano=options.mano,
        model=options.model,
        textures=options.textures,
        images=options.images,
        save_vertices=options.save_vertices,
        quiet=options.quiet,
    )
    request.check_out()

    from fitter.export.exporter import export_results

    try:
        summary = export_results(request)
    except KeyboardInterrupt:
        print("export-hands: interrupted; a file that is there is whole", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if summary.has_failures else EXIT_OK
