"""The groups of options of `fit-hands`: what is known about the images, the fit, many images."""

from __future__ import annotations

import argparse

from fitter.commands.parser import (
    number,
    number_from_zero,
    parts,
    path,
    positive,
    text,
    whole_number,
    whole_number_or_auto,
)

LONGEST_TIMEOUT = 1e6
"""Seconds, eleven days. What waits for a process counts milliseconds in 32 bits, up to 2.1e6 s."""


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """What the user gives beside the images."""
    inputs = parser.add_argument_group("what is known about the images")
    inputs.add_argument(
        "--views",
        type=path,
        metavar="RIG.json",
        help="several calibrated cameras have seen the hands at once: IMAGES is the folder of the "
        "images of all, and a hand is fitted to all views of a frame (docs/views.md)",
    )
    _add_dataset(inputs)
    inputs.add_argument(
        "--intrinsics",
        type=text,
        metavar="K",
        help="fx,fy,cx,cy in pixels for all images, or a file (JSON, YAML, XML, .npy, .npz, text): "
        "one K, a mapping from file name to K, a list of K in the order of the sorted names, or a "
        "calibration with its lens: OpenCV's, ROS's, Kalibr's, COLMAP's cameras.txt; without it "
        "EXIF is asked, then a default field of view is taken "
        "(camera.default_fov_degrees)",
    )
    inputs.add_argument(
        "--keypoints",
        type=path,
        metavar="PATH",
        help="take keypoints from here instead of detecting them: a folder with a JSON file for "
        "each image, or a JSON file, as OpenPose, COCO-WholeBody, mmpose, MediaPipe or FreiHAND "
        "have them, or a mapping from file name to hands (docs/inputs.md)",
    )
    inputs.add_argument(
        "--masks",
        type=path,
        metavar="DIR",
        help="masks of the images' hands, DIR/a/b.png for a/b.jpg; without one a hand is "
        "segmented from the image (refine.segmentation)",
    )
    inputs.add_argument(
        "--objects",
        type=path,
        metavar="DIR",
        help="things that the hands hold or touch: DIR/a/b.json for a/b.jpg names meshes and where "
        "they are in the camera (docs/inputs.md); hands are fitted to touch and not to pierce them",
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


def add_videos(parser: argparse.ArgumentParser) -> None:
    """Which frames of videos are taken."""
    videos = parser.add_argument_group("videos")
    which = videos.add_mutually_exclusive_group()
    which.add_argument(
        "--every",
        type=positive(int),
        metavar="N",
        help="of each N frames of a video take the first (default: all frames)",
    )
    which.add_argument(
        "--fps",
        type=positive(float),
        metavar="F",
        help="take at most F frames of each second of a video",
    )
    videos.add_argument(
        "--camera",
        type=text,
        metavar="N|DEVICE|ADDRESS",
        help="record what a camera shows (0, /dev/video2 or rtsp://...) to STORE.zarr.camera.mkv "
        "until Ctrl-C, with the hands in a window where there is a display, then fit the recording",
    )
    for option, which_frames in (("--start", "from"), ("--end", "before")):
        videos.add_argument(
            option,
            type=number_from_zero,
            metavar="SECONDS",
            help=f"take the frames {which_frames} so many seconds after a video's first frame",
        )
    videos.add_argument(
        "--no-tracks",
        action="store_true",
        help="fit every frame alone: hands have no tracks, no common shape, no smooth motion",
    )
    videos.add_argument(
        "--fill-gaps",
        type=positive(int),
        metavar="N",
        help="where a tracked hand was not found for at most N frames, fill it in where its track "
        "has it; such hands are marked filled",
    )


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
        help="what else to take from the data set: keypoints, masks, objects, or several of them "
        "with commas between",
    )
    inputs.add_argument(
        "--object-models",
        type=path,
        metavar="DIR",
        help="with --use objects: where the meshes of the data set's objects lie, as "
        "NAME/textured_simple.obj or NAME.ply; without it in the data set's folder models",
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


def add_fit(parser: argparse.ArgumentParser) -> None:
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
        "--alone",
        action="store_true",
        help="fit every hand by itself; without it hands whose boxes in the image touch are fitted "
        "together, so that they are less deep in each other, where a stage is solved by lm",
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


def add_execution(parser: argparse.ArgumentParser) -> None:
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


def _share(given: str) -> tuple[int, int]:
    place, slash, of = given.partition("/")
    if not (slash and place.isdecimal() and of.isdecimal() and 1 <= int(place) <= int(of)):
        raise argparse.ArgumentTypeError(f"expected I/N such as 1/2, found {given!r}")
    return int(place), int(of)
