"""A folder of images with OpenPose's JSON files, or other files of 2D keypoints.

    DIR/a/b.jpg  DIR/a/b_keypoints.json     beside the images, or in a folder of their own
    DIR/a/b.jpg  DIR/keypoints.json         a file, in our own layout or FreiHAND's

The layouts are those that `fit-hands --keypoints` takes, see `fitter.inputs.keypoint_files`;
OpenPose's is described in github.com/CMU-Perceptual-Computing-Lab/openpose, ``doc/02_output.md``.
Keypoints are in pixels of the image, as OpenPose writes them by default. One of confidence 0 was
not found. There is no camera and nothing in 3D.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import require_folder
from datasets.readers.names import PackedNames
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.listing import ImageSource
from fitter.records import HandObservation


@dataclass(frozen=True)
class MarkedImages(AnnotatedImages):
    """Images with files of 2D keypoints. Build it with `open_openpose`.

    Attributes:
        files: of the keypoints.
    """

    root: Path
    split: str
    names: PackedNames
    files: KeypointFiles
    dataset: str = "openpose"
    definition: AnnotatedDefinition = "openpose"
    has_intrinsics: bool = False

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; `confidence` is OpenPose's."""
        name = self.names[place]
        hands = self.files.hands_for(ImageEntry(name, self.path(place)), place)
        return Annotation(name, None, tuple(_annotated(hand) for hand in hands))


def open_openpose(root: Path, split: str) -> MarkedImages:
    """Open a folder of images.

    Args:
        root: the folder; images are listed in it and in the folders below.
        split: the folder or file of keypoints, relative to `root` or absolute; nothing where they
            lie beside the images.

    Raises:
        InputError: the folder is missing or has no images, or there are no keypoints, or they are
            those of other images.
    """
    root = require_folder(root, "images")
    files = KeypointFiles.open(root / split)
    names = PackedNames.of(ImageSource.of([str(root)]).names())
    files.require_for(names, len(names))
    return MarkedImages(root, split, names, files)


def _annotated(hand: HandObservation) -> AnnotatedHand:
    return AnnotatedHand(
        side=hand.side,
        keypoints_2d=np.where(hand.seen[:, None], hand.keypoints, np.nan),
        keypoints_3d=np.full((21, 3), np.nan),
        box=hand.box,
        confidence=hand.confidence,
    )
