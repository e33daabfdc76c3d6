"""Frames as the Python door takes them, checked as far as that needs no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from fitter.errors import InputError
from fitter.inputs.given_images import checked_hands, checked_image, for_each, given_mask
from fitter.inputs.hand_sizes import check_hand_size
from fitter.inputs.image_files import ImageFile
from fitter.inputs.rig_files import check_rig
from fitter.inputs.undistortion import Undistortion
from fitter.inputs.view_files import (
    hand_without_distortion,
    mask_without_distortion,
    without_distortion,
)
from fitter.inputs.view_sizes import Size, require_own
from fitter.records import HandObservation, ImageRecord
from fitter.rig import FrameNames, Rig, RigCamera


@dataclass(frozen=True)
class GivenView:
    """One camera's image of a frame, and what is given for it.

    Attributes:
        name: its path as given, or the frame's name and the camera's.
        camera: whose image it is.
        image: file or checked pixels, as the camera took them.
        given_hands: hands whose keypoints are given, in pixels of that image, or None.
        given_mask: of the hands, not checked, or None.
        sizes: (width, height) of the images of each camera, by its name, as far as they are known;
            of all frames together.
    """

    name: str
    camera: RigCamera
    image: ImageFile | np.ndarray
    given_hands: list[HandObservation] | None
    given_mask: Any
    sizes: dict[str, Size]

    def record(self) -> tuple[ImageRecord, np.ndarray | None]:
        """The image without distortion, decoded where it is a file, with its K; and its mask
        (H, W) bool, or None.

        Raises:
            InputError: the image cannot be read or has another size than the camera's, or the mask
                is none of it.
        """
        pixels = self.image.read()[0] if isinstance(self.image, ImageFile) else self.image
        size = (pixels.shape[1], pixels.shape[0])
        # Of a camera without size, all images have to have that of the first one.
        sized = replace(self.camera, size=self.sizes.setdefault(self.camera.name, size))
        straight = without_distortion(pixels, sized, self.name)
        require_own(self.camera, size, f"{self.name}, camera {self.camera.name!r}")
        mask = given_mask(self.given_mask, size, f"mask of {self.name}")
        shown = Undistortion.of(self.camera, size)
        inside = None if shown is None else shown.inside
        matrix = self.camera.intrinsics.copy()
        record = ImageRecord(self.name, Path(self.name), straight, matrix, "given", inside)
        return record, None if mask is None else mask_without_distortion(mask, self.camera)

    @property
    def hands(self) -> list[HandObservation] | None:
        """The given hands, as of the image without distortion."""
        if self.given_hands is None:
            return None
        return [hand_without_distortion(hand, self.camera) for hand in self.given_hands]


@dataclass(frozen=True)
class GivenFrame:
    """One frame.

    Attributes:
        name: "frame 0" and so on.
        views: the image of each camera of the rig, None where it has none.
        hand_size: checked metres, or None.
    """

    name: str
    views: tuple[GivenView | None, ...]
    hand_size: float | None

    @property
    def names(self) -> FrameNames:
        """Of the frame and its images."""
        return FrameNames(
            self.name, tuple("" if view is None else view.name for view in self.views)
        )


@dataclass(frozen=True)
class GivenFrames:
    """Frames with what is known of each.

    Attributes:
        rig: the cameras.
        frames: at least one.
        is_single: one frame was given, and not a list.
    """

    rig: Rig
    frames: list[GivenFrame]
    is_single: bool

    @classmethod
    def of(
        cls, frames: Any, rig: Any, keypoints: Any = None, masks: Any = None, hand_size: Any = None
    ) -> GivenFrames:
        """Check what a user gave.

        Args:
            frames: a mapping from names of cameras to images, or a list of these.
            rig: a `Rig`, the path of a rig file, or what stands in one.
            keypoints: of one frame a mapping from names of cameras to lists of hands; of several a
                list of these.
            masks: likewise, of masks.
            hand_size: metres, of all frames or of each.

        Raises:
            InputError: something is not as expected.
        """
        cameras = check_rig(rig)
        is_single = isinstance(frames, Mapping)
        if is_single:
            frames = [frames]
        if not isinstance(frames, Sequence) or isinstance(frames, str):
            raise InputError("frames.kind", file="frames", found=type(frames).__name__)
        count = len(frames)
        marks = _of_frames("keypoints", keypoints, count, is_single)
        shown = _of_frames("masks", masks, count, is_single)
        one = hand_size is None or isinstance(hand_size, Real)
        sizes = [hand_size] * count if one else _of_frames("hand_size", hand_size, count, is_single)
        found = []
        seen = {camera.name: camera.size for camera in cameras.cameras if camera.size is not None}
        for number, frame in enumerate(frames):
            name = f"frame {number}"
            size = sizes[number]
            metres = None if size is None else check_hand_size(size, f"hand_size of {name}")
            own, mask = ({} if part[number] is None else part[number] for part in (marks, shown))
            views = _views(name, cameras, frame, own, mask)
            found.append(GivenFrame(name, _sized(views, seen), metres))
        return cls(cameras, found, is_single)


def _views(
    name: str, rig: Rig, images: Any, keypoints: Any, masks: Any
) -> tuple[GivenView | None, ...]:
    """The views of a frame, in the order of the rig's cameras."""
    said = {name: images, f"keypoints of {name}": keypoints, f"masks of {name}": masks}
    for what, values in said.items():
        if not isinstance(values, Mapping):
            code = "frames.kind" if values is images else "frames.by_camera"
            raise InputError(code, file=what, found=type(values).__name__)
        for camera in values:
            if camera not in rig.names:
                expected = ", ".join(rig.names)
                raise InputError("frames.camera", file=what, expected=expected, found=camera)
            if values[camera] is not None and images.get(camera) is None:
                raise InputError("frames.no_view", file=what, found=camera)
    if all(images.get(camera) is None for camera in rig.names):
        raise InputError("frames.empty", file=name)
    views: list[GivenView | None] = []
    for camera in rig.cameras:
        image = images.get(camera.name)
        if image is None:
            views.append(None)
            continue
        if not isinstance(image, str | Path | np.ndarray):
            where = f"{name}, {camera.name}"
            raise InputError("frames.image", file=where, found=type(image).__name__)
        own = f"{name}, {camera.name}" if isinstance(image, np.ndarray) else str(image)
        hands = checked_hands(keypoints.get(camera.name), own)
        mask = masks.get(camera.name)
        views.append(GivenView(own, camera, checked_image(image, own), hands, mask, {}))
    return tuple(views)


def _sized(
    views: tuple[GivenView | None, ...], sizes: dict[str, Size]
) -> tuple[GivenView | None, ...]:
    return tuple(view and replace(view, sizes=sizes) for view in views)


def _of_frames(what: str, given: Any, count: int, is_single: bool) -> list[Any]:
    return for_each(what, given, count, is_single, "views.count", what="one")
