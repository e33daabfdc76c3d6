"""The command `synth-hands`: synthetic images of hands in FreiHAND's layout.

Arguments and folders are checked before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from datasets.synthetic.background_files import background_files
from datasets.synthetic.folder import LARGEST, SMALLEST, SyntheticRequest, check_folder
from datasets.synthetic.rig_request import RigRequest, check_rig_to_render
from datasets.synthetic.rig_shapes import dome_rig, stereo_rig
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.touching.request import INTERACTION_KINDS, InteractionRequest
from fitter.commands.parser import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    CommandParser,
    add_verbosity,
    path,
    positive,
    run_command,
    text,
    whole_number,
)
from fitter.errors import InputError
from fitter.rig import Rig

_DESCRIPTION = """\
Render images of hands with everything that is true of them: keypoints in 3D and 2D and what hides
them, the hand's mask, depth, pose, shape, camera, light. Nothing is downloaded and nothing needs a
licence: the open hand model, its skin and the backgrounds come with the program.

DIR is a data set in FreiHAND's layout, training/rgb, training/mask, training_K.json,
training_xyz.json, training_scale.json, with depth and all parameters beside them. Sample number i
depends on the seed and on i alone, so samples that are there are kept, and a larger --count adds
to them.

With --interaction the hands touch each other or what they hold, and nothing is more than 0.5 mm
inside anything: the second hand's mask and what is held are written, too.

With --stereo, --dome or --rig several cameras see each hand. Every camera's folder, DIR/left and
DIR/right or DIR/NAME, is such a data set then. DIR/rig.json says where the cameras stand, and
fit-hands --views DIR/rig.json DIR runs on it; DIR/truth has what is true in the rig's frame.
"""

_EPILOG = """\
examples:
  synth-hands --count 1000 --out synthetic/
  synth-hands --count 50000 --out synthetic/ --seed 7 --size 128 --workers 8
  synth-hands --count 1000 --out plain/ --objects 0 --occluders 0 --second-hands 0
  synth-hands --count 1000 --out nimble_hands/ --model nimble/
  synth-hands --count 1000 --out ego/ --view egocentric --backgrounds photos/
  synth-hands --count 15000 --out varied/ --gloves 0.12 --children 0.2 --grey 0.12 \\
      --varied-objects 0.5 --backgrounds mixed
  synth-hands --count 1000 --out pairs/ --stereo 0.1 --size 480
  synth-hands --count 300 --out touching/ --interaction hands --size 512
  synth-hands --count 300 --out held/ --interaction objects --size 512
  synth-hands --count 200 --out dome/ --dome 8 --size 480
  synth-hands --count 200 --out seen/ --rig rig.json

exit status:
  0    every sample is there
  2    wrong usage or bad input, and one line says what; samples that were there are kept
  70   a fault of the program, with a traceback to report
  130  interrupted; what is done is kept, and the same command continues
"""

SIZE = 224
"""Pixels of an image's side, where none are said."""

_SHARES = (
    ("--objects", 0.45, "share of the poses that can hold something in which one does"),
    ("--occluders", 0.12, "share of images with something in front of the hand"),
    ("--second-hands", 0.15, "share of images with another hand"),
    ("--gloves", 0.0, "share of hands in a glove"),
    ("--children", 0.0, "share of hands that are a child's"),
    ("--grey", 0.0, "share of images without colours, half of them infrared"),
    ("--varied-objects", 0.0, "share of things in the grasp that are of more shapes"),
)
"""Options that are shares: name, default, meaning."""


def _from_zero(given: str) -> int:
    found = whole_number(given)
    if found < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, found {given!r}")
    return found


def _size(given: str) -> int:
    found = whole_number(given)
    if not SMALLEST <= found <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"expected a size from {SMALLEST} to {LARGEST} pixels, found {given!r}"
        )
    return found


def _number(given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"expected a number, found {given!r}")
    return found


def _part(given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, found {given!r}")
    return found


def synth_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `synth-hands`."""
    parser = CommandParser("synth-hands", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "--count", type=positive(int), required=True, metavar="N", help="samples in the data set"
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="where it goes")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that is there")
    parser.add_argument(
        "--seed", type=_from_zero, default=0, metavar="N", help="which data set (default 0)"
    )
    parser.add_argument(
        "--size", type=_size, metavar="PX", help=f"side of an image (default {SIZE})"
    )
    _add_cameras(parser)
    _add_contents(parser)
    work = parser.add_argument_group("the work")
    work.add_argument(
        "--workers", type=positive(int), default=1, metavar="N", help="processes (default 1)"
    )
    work.add_argument(
        "--device", type=text, default="cpu", metavar="NAME", help="cpu (default), cuda or auto"
    )
    add_verbosity(parser)
    run_command(parser, arguments, _synth_hands)


def _add_cameras(parser: argparse.ArgumentParser) -> None:
    cameras = parser.add_argument_group("several cameras")
    which = cameras.add_mutually_exclusive_group()
    which.add_argument(
        "--stereo",
        type=_number,
        metavar="METRES",
        help="the two cameras of a headset, so far apart, that see its owner's hands",
    )
    which.add_argument(
        "--dome",
        type=positive(int),
        metavar="N",
        help="N cameras around the hands, 0.2 to 0.6 m away",
    )
    which.add_argument(
        "--rig",
        type=path,
        metavar="FILE",
        help="cameras of a rig file, see fit-hands --views; hands are where all of them see them, "
        "as far as that is possible",
    )
    cameras.add_argument(
        "--vertices", action="store_true", help="write the hands' vertices, too: DIR/vertices"
    )


def _add_contents(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is in the images")
    what.add_argument(
        "--model",
        type=text,
        default="open_hand",
        metavar="open_hand|DIR",
        help="whose hands and skin: the open hand's (default), or those of a NIMBLE model in a "
        "folder",
    )
    what.add_argument(
        "--view",
        choices=("mixed", "egocentric", "third_person"),
        help="the camera's viewpoint (default mixed; with --stereo egocentric)",
    )
    what.add_argument(
        "--backgrounds",
        type=text,
        default="procedural",
        metavar="procedural|packages|mixed|DIR",
        help="painted (default), images with free licences in installed packages, both with more "
        "painted ones, or a folder",
    )
    what.add_argument(
        "--interaction",
        choices=INTERACTION_KINDS,
        help="hands that touch: two hands of somebody, a hand and what it holds, or both in turn, "
        "with the truth of both; --objects, --occluders, --second-hands and --varied-objects do "
        "not count then",
    )
    for flag, default, meaning in _SHARES:
        what.add_argument(
            flag, type=_part, default=default, metavar="X", help=f"{meaning} (default {default})"
        )


def _synth_hands(options: argparse.Namespace) -> int:
    request = _checked_request(options)

    from fitter.device import choose_device
    from fitter.run.progress import ProgressLine, console_for

    request = replace(request, device=str(choose_device(request.device)))
    kept = None
    try:
        console = console_for(options.quiet)
        # The first that is told is what was there before.
        with ProgressLine(console, "rendering", request.count, None, "samples") as progress:
            for done in _written(request):
                kept = done if kept is None else kept
                progress.show(done)
    except KeyboardInterrupt:
        print("synth-hands: interrupted; what is done is kept, and the same command continues",
              file=sys.stderr)  # fmt: skip
        return EXIT_INTERRUPTED
    if not options.quiet:
        print(
            f"{request.count} samples in {request.out}, {request.count - (kept or 0)} of them new"
        )
    return EXIT_OK


def _written(request: SyntheticRequest) -> Iterator[int]:
    if isinstance(request, RigRequest):
        from datasets.synthetic.rig_files import write_rig_dataset

        return write_rig_dataset(request)
    if isinstance(request, InteractionRequest):
        from datasets.synthetic.touching.files import write_interaction_dataset

        return write_interaction_dataset(request)
    from datasets.synthetic.files import write_dataset

    return write_dataset(request)


def _rig(options: argparse.Namespace) -> Rig | None:
    """The cameras that are asked for; None for a single one that every sample has its own of."""
    size = (options.size or SIZE,) * 2
    if options.stereo is not None:
        if options.view not in (None, "egocentric"):
            raise InputError("synthetic.stereo_view", file="--view", found=options.view)
        return stereo_rig(options.stereo, size)
    if options.dome is not None:
        return dome_rig(options.dome, size)
    if options.rig is None:
        if options.vertices:
            raise InputError("synthetic.no_rig", file="--vertices")
        return None
    if options.size is not None:
        raise InputError("synthetic.rig_has_size", file="--size", found=options.size)
    from fitter.inputs.rig_files import RigFile

    rig = RigFile.open(options.rig).rig
    check_rig_to_render(rig, options.rig)
    return rig


def _checked_request(options: argparse.Namespace) -> SyntheticRequest:
    """What is asked for, once it is known that device, backgrounds and folder can be right."""
    if options.device.split(":")[0] not in ("cpu", "cuda", "auto"):
        raise InputError("synthetic.device", file="--device", found=options.device)
    rig = _rig(options)
    usual: Literal["mixed", "egocentric"] = "mixed" if options.stereo is None else "egocentric"
    given = SyntheticRequest(
        out=options.out,
        count=options.count,
        seed=options.seed,
        size=options.size or SIZE,
        settings=SyntheticSettings(
            object_share=options.objects,
            occluder_share=options.occluders,
            second_hand_share=options.second_hands,
            glove_share=options.gloves,
            child_share=options.children,
            grey_share=options.grey,
            varied_object_share=options.varied_objects,
            view=options.view or usual,
            backgrounds=options.backgrounds,
            model=None if options.model == "open_hand" else Path(options.model),
        ),
        device=options.device,
        workers=options.workers,
        overwrite=options.overwrite,
    )
    request = given if rig is None else RigRequest.of(given, rig, options.vertices)
    if options.interaction is not None:
        if rig is not None:
            raise InputError("synthetic.touching_rig", file="--interaction")
        request = InteractionRequest.of(given, options.interaction)
    check_folder(request)
    background_files(request.settings.backgrounds, "--backgrounds")
    return request
