"""An image of one camera of a rig, as everything after sees it: without its lens's distortion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.digests import file_digest
from fitter.inputs.image_files import ImageFile
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.undistortion import Undistortion, undistorted_points
from fitter.records import HandObservation
from fitter.rig import RigCamera


@dataclass(frozen=True)
class ViewFile(ImageFile):
    """An image of a camera, with what is given for it; all of it as without distortion.

    Attributes:
        file: the image as it is on disk.
        entry: its name, relative to the folder of all images, and path.
        camera: whose image it is.
        keypoints: keypoints given in place of the detector's, of this image only, or None.
        masks: folder of given masks, of which only this image's is listed, or None.
    """

    file: ImageFile
    entry: ImageEntry
    camera: RigCamera
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None

    @property
    def label(self) -> str:
        """Its path."""
        return self.file.label

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`; without distortion, and without EXIF, since K is given.

        Raises:
            InputError: also an image of another size than the camera's (`view.size`).
        """
        return without_distortion(self.file.read()[0], self.camera, self.label), CameraExif()

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`."""
        return self.file.stamp()

    def intrinsics(self) -> np.ndarray:
        """See `ImageFile`: the camera's."""
        return self.camera.intrinsics.copy()

    def inside(self, size: tuple[int, int]) -> np.ndarray | None:
        """See `ImageFile`."""
        found = Undistortion.of(self.camera, size)
        return None if found is None else found.inside

    def hands(self) -> list[HandObservation] | None:
        """See `ImageFile`."""
        if self.keypoints is None:
            return None
        hands = self.keypoints.hands_for(self.entry, 0, self.camera.size)
        return [hand_without_distortion(hand, self.camera) for hand in hands]

    def mask(self) -> np.ndarray | None:
        """See `ImageFile`."""
        if self.masks is None:
            return None
        path = self.masks.path_of(self.entry.name)
        if path is None:
            return None
        from fitter.inputs.mask_files import fitting_mask, read_mask

        mask = read_mask(path)
        if self.camera.size is not None:
            mask = fitting_mask(mask, self.camera.size, path, self.entry.name)
        return mask_without_distortion(mask, self.camera)

    @property
    def has_mask(self) -> bool:
        """See `ImageFile`."""
        return self.masks is not None and self.masks.path_of(self.entry.name) is not None

    def said(self) -> object:
        """See `ImageFile`: its keypoints, and a digest of its mask."""
        mask = None if self.masks is None else self.masks.path_of(self.entry.name)
        keypoints = None if self.keypoints is None else self.keypoints.raw(self.entry, 0)
        if keypoints is None and mask is None:
            return None
        return [keypoints, None if mask is None else file_digest(mask)]

    def absolute(self) -> ViewFile:
        """See `ImageFile`."""
        return replace(self, file=self.file.absolute())


def without_distortion(pixels: np.ndarray, camera: RigCamera, where: str) -> np.ndarray:
    """A camera's image (H, W, 3) uint8 without distortion.

    Args:
        pixels: (H, W, 3) uint8 RGB as the camera took it.
        camera: of a rig.
        where: what to name in messages.

    Raises:
        InputError: it has another size than the camera's images (`view.size`).
    """
    size = (pixels.shape[1], pixels.shape[0])
    if camera.size is not None and size != tuple(camera.size):
        raise InputError(
            "view.size", file=where, camera=camera.name, expected=tuple(camera.size), found=size
        )
    found = Undistortion.of(camera, size)
    return pixels if found is None else found.pixels(pixels)


def mask_without_distortion(mask: np.ndarray, camera: RigCamera) -> np.ndarray:
    """The mask (H, W) bool or uint16 labels of a camera's image, as of the image without
    distortion."""
    found = Undistortion.of(camera, (mask.shape[1], mask.shape[0]))
    return mask if found is None else found.mask(mask)


def hand_without_distortion(hand: HandObservation, camera: RigCamera) -> HandObservation:
    """A hand whose keypoints were marked in a camera's image, as of the image without distortion.

    Keypoints of confidence 0, which may be anywhere, stay; those at which the lens's model shows
    nothing stay and get confidence 0.

    Raises:
        InputError: no seen keypoint is left (`view.beyond_lens`).
    """
    straight = undistorted_points(camera, hand.keypoints)
    known = hand.seen & np.isfinite(straight).all(-1)
    if hand.seen.any() and not known.any():
        raise InputError("view.beyond_lens", file=f"a {hand.side} hand", camera=camera.name)
    moved = np.where(known[:, None], straight, hand.keypoints)
    return replace(hand, keypoints=moved, confidence=np.where(known, hand.confidence, 0.0))
