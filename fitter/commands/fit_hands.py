"""The command `fit-hands`.

Arguments are parsed before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.commands.parser import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_WAITS,
    OVERLAY_FLAGS,
    CommandParser,
    add_configuration,
    add_overlay_style,
    add_verbosity,
    number,
    number_from_zero,
    overlay_style,
    parts,
    path,
    positive,
    run_command,
    text,
    whole_number,
    whole_number_or_auto,
)

if TYPE_CHECKING:
    from fitter.config.options import Flag
    from fitter.inputs.dataset_request import DatasetRequest
    from fitter.rendering.overlay_style import OverlayStyle
    from fitter.run.request import RunRequest

_FLAGS = {
    "detector.max_hands": "--max-hands",
    "detector.search": "--search",
    "detector.task": "--task",
    "run.batch_size": "--batch-size",
    "run.device": "--device",
    "init.source": "--init",
    "output.save_vertices": "--save-vertices",
    "output.keypoint_definition": "--keypoint-definition",
    "fit.hand_size": "--hand-size",
    "output.min_quality": "--min-quality",
}
"""Options of the configuration that have a flag of their own."""

LONGEST_TIMEOUT = 1e6
"""Seconds, eleven days. What waits for a process counts milliseconds in 32 bits, up to 2.1e6 s."""

_FIT_DESCRIPTION = """\
Find the hands in photographs and fit a 3D hand model to each: first to its 21 keypoints, then,
in stages, to its outline in the image, from a mask of yours or one that a network sees.

IMAGES is a folder (searched with its subfolders), an image or several (JPEG, PNG, WebP, BMP or
TIFF), a pattern in quotes ('photos/**/left_*.jpg'), a text file that ends in .txt or .lst with one
path a line, or - for such a list on standard input. Images may be in tar files (shards/*.tar,
'shards/{000..004}.tar'), and all of these at addresses (s3://, gs://, hf://, https://).
With --dataset NAME it is the folder of a data set.
Results go to a Zarr store that xarray.open_zarr reads: for every hand the side, pose, shape,
global rotation, translation, 21 keypoints in 3D (metres, camera frame) and 2D (pixels), scores,
and why a fit failed when it failed. An image that cannot be read is recorded and never stops
the others.
"""

_FIT_EPILOG = """\
examples:
  fit-hands photos/ --out results.zarr --overlays overlays/
  fit-hands photos/ --out results.zarr --resume
  fit-hands frames/ --out r.zarr --intrinsics 1450,1450,960,540 --max-hands 1
  fit-hands photos/ --out r.zarr --model MANO_RIGHT.pkl --save-vertices
  fit-hands photos/ --out r.zarr --model nimble/ --set model.mano=MANO_RIGHT.pkl
  fit-hands photos/ --out r.zarr --masks masks/
  fit-hands photos/ --out r.zarr --config realistic_hands --masks masks/
  fit-hands photos/ --out r.zarr --set refine.stages={}         # the fit to the keypoints alone
  fit-hands photos/ --out r.zarr --set fit.max_iterations=50
  fit-hands --dataset freihand FreiHAND_pub_v2_eval/ --split evaluation --out r.zarr
  fit-hands 's3://bucket/shards/{000..099}.tar' --out r.zarr
  find /data -name '*.jpg' | fit-hands - --out r.zarr
  fit-hands photos/ --out r.zarr --resume --ray local          # all cores of this machine
  fit-hands photos/ --out r.zarr --resume --ray auto           # a Ray cluster
  fit-hands photos/ --out r.zarr --same-hand                   # one person's hands
  fit-hands photos/ --out r.zarr --people people.csv
  fit-hands photos/ --out r.zarr --shard 1/2                   # half of the work, beside 2/2

exit status:
  0    every image was processed (with or without hands in it)
  1    finished, but some images or fits failed; the summary and the store say why
  2    wrong usage or bad input, and one line says what; results that were there are kept
  3    this --shard of a pass is done; the next pass waits for others: run it again then
  70   a fault of the program, with a traceback to report
  75   Ray was lost; what is done is kept, and --resume continues
  130  interrupted; what is done is kept, and --resume continues
"""


def fit_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fit-hands`."""
    parser = CommandParser("fit-hands", _FIT_DESCRIPTION, _FIT_EPILOG)
    parser.add_argument(
        "images",
        type=text,
        nargs="+",
        metavar="IMAGES",
        help="folder, image or images, pattern, text list, tar files, addresses of any of these, "
        "or - for a list on standard input; with --dataset the data set's folder",
    )
    parser.add_argument("--out", type=_place, required=True, metavar="STORE.zarr", help="results")
    parser.add_argument(
        "--overlays", type=path, metavar="DIR", help="render every fitted mesh over its photograph"
    )
    add_overlay_style(parser)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run, or add the images that are new; images that failed "
        "in it are not tried again",
    )
    existing.add_argument("--overwrite", action="store_true", help="replace existing results")
    _add_inputs(parser)
    _add_fit(parser)
    _add_execution(parser)
    add_configuration(parser)
    add_verbosity(parser)
    run_command(parser, arguments, _fit_hands)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """What the user gives beside the images."""
    inputs = parser.add_argument_group("what is known about the images")
    _add_dataset(inputs)
    inputs.add_argument(
        "--intrinsics",
        type=text,
        metavar="K",
        help="fx,fy,cx,cy in pixels for all images, or a JSON file: one 3x3, a mapping from file "
        "name to 3x3, or a list of 3x3 in the order of the sorted names (FreiHAND's *_K.json); "
        "without it EXIF is asked, then a default field of view is taken "
        "(camera.default_fov_degrees)",
    )
    inputs.add_argument(
        "--keypoints",
        type=path,
        metavar="PATH",
        help="take keypoints from here instead of detecting them: a folder of OpenPose JSON, or a "
        "JSON file (FreiHAND's layout, or a mapping from file name to hands)",
    )
    inputs.add_argument(
        "--masks",
        type=path,
        metavar="DIR",
        help="masks of the images' hands, DIR/a/b.png for a/b.jpg; without one a hand is "
        "segmented from the image (refine.segmentation)",
    )
    inputs.add_argument(
        "--hand-size",
        type=number,
        metavar="METRES",
        help="length of the hands from the wrist's joint along the bones to the middle fingertip, "
        "which fixes how far away they are; without it the model's mean hand tells",
    )
    inputs.add_argument(
        "--person-size",
        type=path,
        metavar="FILE",
        help="the same by image: a JSON file, name of an image or a pattern such as 'anna/*' to "
        "metres; images that it leaves out have --hand-size",
    )
    _add_people(inputs)


def _add_dataset(inputs: argparse._ArgumentGroup) -> None:
    """What a data set gives beside its images."""
    inputs.add_argument(
        "--dataset",
        type=text,
        metavar="NAME",
        help="IMAGES is the folder of a data set as it is published, such as freihand or "
        "synthetic; images and true K come from it (docs/inputs.md lists the names)",
    )
    inputs.add_argument(
        "--split",
        type=text,
        metavar="NAME",
        help="of the data set; without it the one that evaluations are made on",
    )
    inputs.add_argument(
        "--use",
        type=parts,
        metavar="PARTS",
        help="what else to take from the data set: keypoints, masks, or keypoints,masks",
    )


def _add_people(inputs: argparse._ArgumentGroup) -> None:
    """Whose hands the images show."""
    whose = inputs.add_mutually_exclusive_group()
    whose.add_argument(
        "--same-hand",
        action="store_true",
        help="all hands of a side are one person's, and share a shape made of all images",
    )
    whose.add_argument(
        "--people",
        type=path,
        metavar="FILE",
        help="whose hands the images show: a CSV table with the columns image, person and perhaps "
        "hand, or JSON or YAML from names or patterns such as 'anna/*' to persons; hands of one "
        "person and side share a shape",
    )


def _add_fit(parser: argparse.ArgumentParser) -> None:
    """Which model is fitted, and the options of the configuration with a flag of their own."""
    fit = parser.add_argument_group("the fit")
    fit.add_argument(
        "--model",
        type=text,
        metavar="NAME|FILE|DIR",
        help="open_hand (default), a MANO_RIGHT.pkl of yours, or the folder of a NIMBLE model",
    )
    fit.add_argument(
        "--init",
        type=text,
        metavar="SOURCE",
        help="keypoints, network (default) or both: start fits at typical poses placed on the "
        "keypoints, where networks say, or from the better of the two",
    )
    fit.add_argument(
        "--max-hands",
        type=whole_number_or_auto,
        metavar="N",
        help="hands per image, and slots in the store; auto (default) keeps up to 16",
    )
    fit.add_argument(
        "--search",
        choices=["fast", "standard", "thorough"],
        help="how far to look for small hands (default standard)",
    )
    fit.add_argument(
        "--save-vertices", action="store_true", default=None, help="store every mesh as well"
    )
    fit.add_argument(
        "--keypoint-definition",
        type=text,
        metavar="NAME",
        help="what keypoints_3d are: mediapipe (default, the detector's marks), mano, openpose, "
        "freihand or ho3d",
    )
    fit.add_argument(
        "--min-quality",
        type=number_from_zero,
        metavar="P",
        help="store hands whose score, the probability of an error below 10 mm, is less than P as "
        "not valid; nothing is deleted (default 0)",
    )
    fit.add_argument(
        "--task",
        type=text,
        metavar="FILE",
        help="find hands with MediaPipe's hand landmarker in this .task file, by the package "
        "mediapipe (default: with the networks that ship with fit-hands)",
    )
    fit.add_argument("--batch-size", type=whole_number, metavar="N", help="hands fitted at once")
    fit.add_argument("--device", type=text, metavar="NAME", help="cpu, cuda or auto (default)")


def _add_execution(parser: argparse.ArgumentParser) -> None:
    """Over what the work is spread, and what a worker may do."""
    execution = parser.add_argument_group("many images")
    execution.add_argument(
        "--ray",
        type=text,
        metavar="auto|local|ADDRESS",
        help="spread the work with Ray: local for the cores of this machine, auto for the cluster "
        "this machine is in, or a cluster's address; needs the package ray[data]",
    )
    execution.add_argument(
        "--workers",
        type=positive(int),
        metavar="N",
        help="processes of one thread that find hands, and with Ray and no GPU fit them too "
        "(default: 1 without Ray, all that fit with it)",
    )
    execution.add_argument(
        "--gpus-per-worker",
        type=number_from_zero,
        metavar="X",
        help="GPUs, or the share of one, of each of Ray's workers that fit (default: 1 where the "
        "cluster has GPUs)",
    )
    execution.add_argument(
        "--timeout-per-image",
        type=positive(float, LONGEST_TIMEOUT),
        default=120.0,
        metavar="SECONDS",
        help="an image whose hands take longer to be found is tried once more, then recorded as "
        "failed (default 120)",
    )
    execution.add_argument(
        "--shard",
        type=_share,
        metavar="I/N",
        help="compute every Nth block of the store alone, from the Ith on, beside runs that "
        "compute the others; continues a store that is there",
    )
    execution.add_argument(
        "--wait",
        action="store_true",
        help="with --shard: wait for other parts between passes, and do not end with status 3",
    )


def _place(given: str) -> Path | str:
    """A path, which would take a slash from an address."""
    return given if "://" in given else path(given)


def _share(given: str) -> tuple[int, int]:
    place, slash, of = given.partition("/")
    if not (slash and place.isdecimal() and of.isdecimal() and 1 <= int(place) <= int(of)):
        raise argparse.ArgumentTypeError(f"expected I/N such as 1/2, found {given!r}")
    return int(place), int(of)


def _fit_hands(options: argparse.Namespace) -> int:
    from fitter.api import fit_to_store
    from fitter.config.options import load_config

    config = load_config(options.config, options.set, _flags(options))
    summary = fit_to_store(_request(options), config)
    if summary.waits:
        return EXIT_WAITS
    return EXIT_SOME_FAILED if summary.has_failures else EXIT_OK


def _flags(options: argparse.Namespace) -> dict[str, Flag]:
    """What flags of their own say of options of the configuration."""
    from fitter.config.options import Flag, model_flags

    flags: dict[str, Flag] = {}
    for name, flag in _FLAGS.items():
        value = getattr(options, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            flags[name] = Flag(f"{flag} {value}", value)
    if options.model is not None:
        flags |= model_flags(f"--model {options.model}", options.model)
    return flags


def _dataset(options: argparse.Namespace) -> DatasetRequest | None:
    """The data set that was asked for; refuses what belongs to one where there is none."""
    from fitter.errors import InputError
    from fitter.inputs.dataset_request import DatasetRequest

    if options.dataset is not None:
        return DatasetRequest(options.dataset, options.split, options.use or ())
    for flag in ("split", "use"):
        if getattr(options, flag) is not None:
            raise InputError("usage.dataset_missing", file=f"--{flag}")
    return None


def _overlay_style(options: argparse.Namespace) -> OverlayStyle:
    """How overlays are to look; refuses what says so where there are none."""
    from fitter.errors import InputError

    given = [flag for flag in OVERLAY_FLAGS if getattr(options, flag) is not None]
    if given and options.overlays is None:
        raise InputError("usage.overlays_missing", file=f"--{given[0].replace('_', '-')}")
    return overlay_style(options)


def _request(options: argparse.Namespace) -> RunRequest:
    from fitter.run.request import RunRequest
    from fitter.system.lock import WHOLE, Share
    from fitter.workers.execution_options import ExecutionOptions

    return RunRequest(
        images=options.images,
        out=options.out,
        overlays=options.overlays,
        overlay_style=_overlay_style(options),
        intrinsics=options.intrinsics,
        keypoints=options.keypoints,
        masks=options.masks,
        hand_sizes=options.person_size,
        same_hand=options.same_hand,
        people=options.people,
        dataset=_dataset(options),
        resume=options.resume or options.shard is not None,
        overwrite=options.overwrite,
        quiet=options.quiet,
        wait=options.wait,
        execution=ExecutionOptions(
            ray=options.ray,
            workers=options.workers,
            gpus_per_worker=options.gpus_per_worker,
            timeout=options.timeout_per_image,
            share=WHOLE if options.shard is None else Share(*options.shard),
        ),
    )
