"""The command `fit-hands`.

Arguments are parsed before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.commands.fit_options import add_execution, add_fit, add_inputs, add_videos
from fitter.commands.parser import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_WAITS,
    OVERLAY_FLAGS,
    CommandParser,
    add_configuration,
    add_overlay_style,
    add_verbosity,
    overlay_style,
    path,
    run_command,
    text,
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

_FIT_DESCRIPTION = """\
Find the hands in photographs and videos and fit a 3D hand model to each:
first to its 21 keypoints, then, in stages, to its outline in the image, from a
mask of yours or one that a network sees.

IMAGES is a folder (searched with its subfolders), an image or several (JPEG,
PNG, WebP, BMP, TIFF, HEIC or AVIF), a video or several (MP4, MOV, MKV, AVI,
WebM, animated GIF and others), a pattern in quotes ('photos/**/left_*.jpg'), a
text file that ends in .txt or .lst with one path a line, or - for such a list
on standard input. Images may be in tar files (shards/*.tar,
'shards/{000..004}.tar'), and images and tar files at addresses (s3://, gs://,
hf://, https://). With --dataset NAME it is the folder of a data set, with
--views RIG.json that of the images of several calibrated cameras.
Each frame of a video is an image, named clip.mp4/00000012.
Results go to a Zarr store that xarray.open_zarr reads: for every hand the side,
pose, shape, global rotation, translation, 21 keypoints in 3D (metres, camera
frame) and 2D (pixels), scores, and why a fit failed when it failed. An image
that cannot be read is recorded and never stops the others.
"""

_FIT_EPILOG = """\
examples:
  fit-hands photos/ --out results.zarr --overlays overlays/
  fit-hands photos/ --out results.zarr --resume
  fit-hands clip.mp4 --out r.zarr --fps 10 --overlays clip-hands.mp4
  fit-hands frames/ --out r.zarr --intrinsics 1450,1450,960,540 --max-hands 1
  fit-hands photos/ --out r.zarr --model MANO_RIGHT.pkl --save-vertices
  fit-hands photos/ --out r.zarr --model nimble/ --set model.mano=MANO_RIGHT.pkl
  fit-hands photos/ --out r.zarr --masks masks/
  fit-hands photos/ --out r.zarr --intrinsics K.json --objects objects/
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
  fit-hands recordings/ --views recordings/rig.json --out r.zarr   # several cameras at once
  fit-hands photos/ --out r.zarr --shard 1/2                   # half of the work, beside 2/2

exit status:
  0    every image was processed (with or without hands in it)
  1    finished, but some images or fits failed, or a video broke off or a camera went away; the
       summary and the store say why
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
        nargs="*",
        metavar="IMAGES",
        help="folder, image or video, several of them, pattern, text list, tar files, addresses of "
        "these, "
        "or - for a list on standard input; with --dataset the data set's folder",
    )
    parser.add_argument("--out", type=_place, required=True, metavar="STORE.zarr", help="results")
    parser.add_argument(
        "--overlays",
        type=path,
        metavar="DIR",
        help="render every fitted mesh over its photograph; over a video as a video, which may be "
        "named itself (CLIP.mp4)",
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
    add_inputs(parser)
    add_videos(parser)
    add_fit(parser)
    add_execution(parser)
    add_configuration(parser)
    add_verbosity(parser)
    run_command(parser, arguments, _fit_hands)


def _place(given: str) -> Path | str:
    """A path, which would take a slash from an address."""
    return given if "://" in given else path(given)


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
    if options.alone:
        flags["interaction.enabled"] = Flag("--alone", False)
    if options.no_tracks:
        flags["tracks.enabled"] = Flag("--no-tracks", False)
    if options.fill_gaps is not None:
        flags["tracks.fill_gaps"] = Flag(f"--fill-gaps {options.fill_gaps}", options.fill_gaps)
    if options.model is not None:
        flags |= model_flags(f"--model {options.model}", options.model)
    return flags


def _dataset(options: argparse.Namespace) -> DatasetRequest | None:
    """The data set that was asked for; refuses what belongs to one where there is none."""
    from fitter.errors import InputError
    from fitter.inputs.dataset_request import DatasetRequest

    if options.dataset is not None:
        models = options.object_models
        return DatasetRequest(options.dataset, options.split, options.use or (), models)
    for flag in ("--split", "--use", "--object-models"):
        if getattr(options, flag.removeprefix("--").replace("-", "_")) is not None:
            raise InputError("usage.dataset_missing", file=flag)
    return None


def _overlay_style(options: argparse.Namespace) -> OverlayStyle:
    """How overlays are to look; refuses what says so where there are none."""
    from fitter.errors import InputError

    given = [flag for flag in OVERLAY_FLAGS if getattr(options, flag) is not None]
    if given and options.overlays is None:
        raise InputError("usage.overlays_missing", file=f"--{given[0].replace('_', '-')}")
    return overlay_style(options)


def _request(options: argparse.Namespace) -> RunRequest:
    from fitter.inputs.frame_choice import FrameChoice
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
        objects=options.objects,
        hand_sizes=options.person_size,
        same_hand=options.same_hand,
        people=options.people,
        views=options.views,
        camera=options.camera,
        frames=FrameChoice(options.every, options.fps, options.start, options.end),
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
