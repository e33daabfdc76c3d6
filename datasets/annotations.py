"""What a data set says of its images: one typed form for all of them.

A reader is an `AnnotatedImages`: random access to images whose annotations are read when they are
asked for. Conventions are those of `fitter.conventions` whatever the data set's own are: metres,
pixels with the first pixel's centre at (0.5, 0.5), the OpenCV camera, 21 keypoints in canonical
order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, SupportsIndex

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.image_files import ImageFile, LocalFile
from fitter.inputs.seen_images import check_annotated_size
from fitter.records import Side

AnnotatedDefinition = Literal[
    "freihand",
    "ho3d",
    "mano",
    "openpose",
    "mediapipe",
    "dexycb",
    "interhand",
    "rhd",
    "ge",
    "coco",
]
"""What the 21 keypoints of a data set are; the first five are `KeypointDefinitionName`s, which can
be posed from parameters. DexYCB's are MANO's joints and the fingertips of manopth. The others were
marked by people or by another rig."""

PoseSpace = Literal["flat", "mean", "pca"]
"""What a MANO pose is relative to: the flat hand (`flat_hand_mean=True`), or the mean pose of the
MANO file, given as angles or as coefficients of the file's components. Mean and components are
under MANO's licence and only in the user's file, so a reader cannot add them."""


@dataclass(frozen=True)
class ManoAnnotation:
    """A hand's MANO parameters in the OpenCV camera and metres, whatever the data set's own are.

    `datasets.readers.posing.hand_params` gives them for the user's MANO file wholly in this
    project's conventions: it adds the mean pose and finds the translation where a data set says
    instead where a keypoint is.

    Attributes:
        global_orient: (3,) float64 axis-angle, about the root joint, OpenCV camera.
        hand_pose: (45,) float64, see `pose_space`.
        betas: (10,) float64.
        translation: (3,) float64 metres, added to the posed vertices, OpenCV camera; with
            `placed_keypoint` the place of that keypoint, of the definition `mano`, in the camera;
            with `root_rotation` counted from where that puts the root joint.
        scale: factor on the posed vertices before the translation; 1 where the data set has none.
        fixed_left: whether a left hand's shape displacements are those with the sign of x mended,
            see `fitter.hand_models.mano.ManoOptions.fix_left_shapedirs`.
        root_rotation: (3, 3) float64 A of a data set that poses hands in a world, whose axes it
            turns into the camera's: there the rest pose's root joint j0 has turned to A j0 as well.
            None where it has stayed at j0.
    """

    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    scale: float = 1.0
    fixed_left: bool = True
    pose_space: PoseSpace = "flat"
    placed_keypoint: int | None = None
    root_rotation: np.ndarray | None = None


@dataclass(frozen=True)
class ModelParameters:
    """Parameters of a hand of this project's own making, rendered or fitted: one row of a
    `fitter.records.HandParams`.

    A left hand's are those of the model's left hand, which is the right one mirrored in x:
    `HandParams.mirrored` gives the right hand's.

    Attributes:
        model: name of the hand model: ``open_hand``, ``mano`` or ``nimble``.
        global_orient: (3,) float64 axis-angle, about the root joint, OpenCV camera.
        hand_pose: (R, 3) float64 axis-angle relative to the flat rest pose, those of the model.
        betas: (S,) float64, those of the model.
        translation: (3,) float64 metres, added to the posed vertices, OpenCV camera.
    """

    model: str
    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class AnnotatedHand:
    """What is known of one hand in an image.

    Attributes:
        side: which hand it is, or None where the data set does not say.
        keypoints_2d: (21, 2) float64 pixels of the image, NaN where not annotated.
        keypoints_3d: (21, 3) float64 metres in the camera, NaN where not annotated.
        visible: (21,) bool or None: whether a keypoint can be seen, where the data set says so.
        mano: parameters, or None.
        vertices: (V, 3) float64 metres in the camera, or None.
        box: (4,) float64 x0, y0, x1, y1 pixels, or None.
        is_root_relative: `keypoints_3d` are relative to the wrist, as where a data set has no
            place in the camera.
        parameters: of the model that it was rendered or fitted with, or None.
        confidence: (21,) float64 in [0, 1], how sure whoever marked or fitted the hand is of each
            keypoint; or None. Of a fitted hand: the detected keypoints' confidence.
        score: probability that the hand is right, where it is a pseudo-label, see
            `fitter.fitted_hand.FittedHand.score`; None where people or a renderer made it.
        predicted_error: metres, of a pseudo-label: median of what the mean error of
            `keypoints_3d` is expected to be, aligned by a similarity; or None.
        intrinsics: (3, 3) float64 K of this hand alone, where its focal length was fitted:
            `keypoints_2d` are then `keypoints_3d` through it. None for the image's.
    """

    side: Side | None
    keypoints_2d: np.ndarray
    keypoints_3d: np.ndarray
    visible: np.ndarray | None = None
    mano: ManoAnnotation | None = None
    vertices: np.ndarray | None = None
    box: np.ndarray | None = None
    is_root_relative: bool = False
    parameters: ModelParameters | None = None
    confidence: np.ndarray | None = None
    score: float | None = None
    predicted_error: float | None = None
    intrinsics: np.ndarray | None = None


@dataclass(frozen=True)
class AnnotatedObject:
    """An object's pose in the camera.

    Attributes:
        name: the data set's.
        rotation: (3, 3) float64 and translation: (3,) float64 metres: ``x_cam = R x + t``.
        mesh: file of its mesh where the data set's folder has it, or None.
    """

    name: str
    rotation: np.ndarray
    translation: np.ndarray
    mesh: Path | None = None


@dataclass(frozen=True)
class Annotation:
    """All that a data set says of an image, except what has as many pixels.

    Attributes:
        name: of the image relative to the data set's folder, with forward slashes.
        intrinsics: (3, 3) float64 K in pixels of the image, or None where there is none.
        hands: in the image; empty where the data set says that there is none.
        objects: in the image.
        sequence: name of the video or capture it is of, or None for single images.
        frame: number in the sequence.
        size: (width, height) that the annotation was made for, or None where it does not say.
    """

    name: str
    intrinsics: np.ndarray | None
    hands: tuple[AnnotatedHand, ...]
    objects: tuple[AnnotatedObject, ...] = ()
    sequence: str | None = None
    frame: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with all that is known of it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        annotation: what is known.
        masks: (hands, H, W) bool, one for each of the annotation's hands, or None.
        depth: (H, W) float32 metres, 0 where not measured, or None.
    """

    pixels: np.ndarray
    annotation: Annotation
    masks: np.ndarray | None = None
    depth: np.ndarray | None = None


class AnnotatedImages(Sequence[AnnotatedImage], ABC):
    """A data set's split: lazy, picklable, the same in every process.

    Opening one reads its lists and touches no image; a sample's files are opened when it is asked
    for. A damaged sample raises an `InputError` that names its file and changes no other sample.

    A reader says where its images are: by `root` and `names` where they are files below a folder,
    else by `file`; only one whose images are bytes of no file says by `read` what they show.

    Attributes:
        dataset: the reader's name, such as ``freihand``.
        root: folder of the data set; image names are relative to it.
        split: as the user named it.
        definition: of the keypoints.
        names: of all images, in the data set's order.
        has_intrinsics: whether the data set has a K for each image. An image without one is then
            damaged; in a data set that has none, K comes from elsewhere.
        is_detected: whether all that is known of a hand is what our own detector finds: its side
            and its keypoints in 2D, which nobody need be asked for.
        broken: a sentence for each file of many images that breaks off, whose other images are
            left out.
    """

    dataset: str
    root: Path
    split: str
    definition: AnnotatedDefinition
    names: Sequence[str]
    has_intrinsics: bool = True
    is_detected: bool = False
    broken: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    def scene(self, place: int) -> int:
        """Number of what image `place` shows: images of one number show the same hands in the same
        place, with other backgrounds or colours."""
        return place

    def path(self, place: int) -> Path:
        """Where image `place` is below `root`, if it is a file of its own."""
        return self.root / self.names[place]

    def file(self, place: int) -> ImageFile:
        """Where image `place` is: a file, a part of one, an address. It tells also whether the
        image has changed, and what it is called in messages."""
        return LocalFile(self.path(place))

    @abstractmethod
    def annotation(self, place: int) -> Annotation:
        """What is known of image `place`, without opening the image.

        Raises:
            InputError: it is missing or damaged.
        """

    def masks(self, place: int) -> np.ndarray | None:
        """(hands, H, W) bool, or None where the data set has none of this image.

        Raises:
            InputError: the file is missing or damaged.
        """
        return None

    def depth(self, place: int) -> np.ndarray | None:
        """(H, W) float32 metres, 0 where not measured, or None where there is none.

        Raises:
            InputError: the file is missing or damaged.
        """
        return None

    def read(self, place: int) -> tuple[np.ndarray, CameraExif]:
        """(H, W, 3) uint8 RGB, and what the image says about its camera.

        Raises:
            InputError: the image is missing or damaged.
        """
        return self.file(place).read()

    def pixels(self, place: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; see `read`."""
        return self.read(place)[0]

    # A `Sequence` promises slices, too, which would decode all of them: there are none.
    def __getitem__(self, place: int) -> AnnotatedImage:  # type: ignore[override]
        """Image `place` with all that is known of it; -1 is the last.

        Raises:
            IndexError: there is no such image.
            TypeError: it is no whole number.
            InputError: a file is missing or damaged, the image's size is not the annotation's, or
                the masks' or the depth's is not the image's.
        """
        place = self._counted(place)
        annotation = self.annotation(place)
        pixels = self.pixels(place)
        height, width = pixels.shape[:2]
        label = self.file(place).label
        check_annotated_size(label, annotation, (width, height))
        masks, depth = self.masks(place), self.depth(place)
        for what, layer in (("mask", masks), ("depth", depth)):
            if layer is not None and layer.shape[-2:] != (height, width):
                raise InputError(
                    "dataset.layer_size",
                    file=label,
                    what=what,
                    found="{1}x{0}".format(*layer.shape[-2:]),
                    expected=f"{width}x{height}",
                )
        return AnnotatedImage(pixels, annotation, masks, depth)

    def _counted(self, place: object) -> int:
        """The place from the first image on."""
        if not isinstance(place, SupportsIndex):
            raise TypeError(f"expected the number of an image, found {place!r}")
        number, count = int(place.__index__()), len(self)
        if not -count <= number < count:
            raise IndexError(f"expected the number of one of {count} images, found {number}")
        return number % count
