"""The commands: `fit-hands` and `eval-hands`.

Arguments are parsed before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from fitter.records import InputError

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_FIT_DESCRIPTION = """\
Find the hands in photographs and fit a 3D hand model to each.

IMAGES is a folder (searched with its subfolders) or one picture: JPEG, PNG, WebP, BMP or TIFF.
Results go to a Zarr store that xarray.open_zarr reads: for every hand the side, pose, shape,
global rotation, translation, 21 keypoints in 3D (metres, camera frame) and 2D (pixels), scores,
and why a fit failed when it failed. A picture that cannot be read is recorded and never stops
the others.
"""

_FIT_EPILOG = """\
examples:
  fit-hands photos/ --out results.zarr --overlays overlays/
  fit-hands photos/ --out results.zarr --resume
  fit-hands frames/ --out r.zarr --intrinsics 1450,1450,960,540 --max-hands 1
  fit-hands photos/ --out r.zarr --model MANO_RIGHT.pkl --save-vertices
  fit-hands photos/ --out r.zarr --set fit.max_iterations=50

exit status:
  0    every picture was processed (with or without hands in it)
  1    finished, but some pictures failed; the summary and the store say why
  2    wrong usage or bad input; nothing was processed
  130  interrupted; what is done is kept, and --resume continues
"""

_EVAL_DESCRIPTION = """\
Compare a result store with annotated 3D keypoints.

Prints MPJPE, root-aligned MPJPE and PA-MPJPE in mm, AUC over 0 to 50 mm, the 2D error in pixels
and the share of hands found; beside them the same for what the detector alone says.
"""


def fit_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fit-hands`."""
    parser = argparse.ArgumentParser(
        "fit-hands",
        description=_FIT_DESCRIPTION,
        epilog=_FIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of pictures, or one")
    parser.add_argument("--out", type=Path, required=True, metavar="STORE.zarr", help="results")
    parser.add_argument(
        "--overlays", type=Path, metavar="DIR", help="draw every fitted mesh over its photograph"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue an interrupted run")
    existing.add_argument("--overwrite", action="store_true", help="replace existing results")

    inputs = parser.add_argument_group("what is known about the pictures")
    inputs.add_argument(
        "--intrinsics",
        metavar="K",
        help="fx,fy,cx,cy in pixels for all pictures, or a JSON file: a mapping from file name to "
        "3x3, or a list of 3x3 in the order of the sorted names (FreiHAND's *_K.json); without "
        "it EXIF is asked, then a default field of view is taken (camera.default_fov_degrees)",
    )
    inputs.add_argument(
        "--keypoints",
        type=Path,
        metavar="PATH",
        help="take keypoints from here instead of detecting them: a folder of OpenPose JSON, or a "
        "JSON file (FreiHAND's layout, or a mapping from file name to hands)",
    )

    fit = parser.add_argument_group("the fit")
    fit.add_argument(
        "--model", metavar="NAME|FILE", help="open_hand (default), or a MANO_RIGHT.pkl of yours"
    )
    fit.add_argument("--max-hands", type=int, metavar="N", help="hands per picture (default 2)")
    fit.add_argument("--save-vertices", action="store_true", help="store every mesh as well")
    fit.add_argument("--batch-size", type=int, metavar="N", help="hands fitted at once")
    fit.add_argument("--device", metavar="NAME", help="cpu, cuda or auto (default)")
    _add_common(parser)
    _run(parser, arguments, _fit_hands)


def eval_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `eval-hands`."""
    parser = argparse.ArgumentParser("eval-hands", description=_EVAL_DESCRIPTION)
    parser.add_argument("store", type=Path, metavar="STORE.zarr", help="written by fit-hands")
    parser.add_argument(
        "--dataset",
        nargs=2,
        required=True,
        metavar=("KIND", "DIR"),
        help="annotations to compare with; KIND is freihand (evaluation layout)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--missing-as", type=float, metavar="MM", help="charge a hand not found with this error"
    )
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="A:B",
        help="report images A to B - 1 of the data set apart as well; repeatable",
    )
    _add_verbosity(parser)
    _run(parser, arguments, _eval_hands)


def _add_common(parser: argparse.ArgumentParser) -> None:
    """The options that every command with a configuration has."""
    parser.add_argument("--config", type=Path, metavar="YAML", help="configuration file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one option of the configuration, such as fit.max_iterations=50; repeatable",
    )
    _add_verbosity(parser)


def _add_verbosity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('fit-hands')}")


def _run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    command: Callable[[argparse.Namespace], int],
) -> None:
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
    )
    for library in ("numba", "PIL", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        _require_own_datasets()
        status = command(options)
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        status = EXIT_USAGE
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    sys.exit(status)


def _require_own_datasets() -> None:
    """Refuse to run with another package's `datasets`, whose name ours shares."""
    import datasets

    if getattr(datasets, "OWNER", None) != "fit-hands":
        raise InputError(
            f"expected fit-hands' own package `datasets`, found {datasets.__file__}: install "
            "fit-hands in an environment of its own (a virtual environment, pipx or uv tool)"
        )


def _fit_hands(options: argparse.Namespace) -> int:
    from fitter.config import load_config
    from fitter.run import RunRequest, run

    flags = {
        "detector.max_hands": options.max_hands,
        "run.batch_size": options.batch_size,
        "run.device": options.device,
        "output.save_vertices": True if options.save_vertices else None,
    }
    if options.model is not None:
        is_name = options.model == "open_hand"
        flags["model.name"] = options.model if is_name else "mano"
        flags["model.path"] = None if is_name else options.model
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    request = RunRequest(
        images=options.images,
        out=options.out,
        overlays=options.overlays,
        intrinsics=options.intrinsics,
        keypoints=options.keypoints,
        resume=options.resume,
        overwrite=options.overwrite,
        quiet=options.quiet,
    )
    summary = run(request, load_config(options.config, [*overrides, *options.set]))
    return EXIT_SOME_FAILED if summary.failed_images else EXIT_OK


def _eval_hands(options: argparse.Namespace) -> int:
    from fitter.evaluate import evaluate_command

    evaluate_command(options)
    return EXIT_OK
