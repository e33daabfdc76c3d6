"""What a user gives: images, intrinsics, keypoints, masks and lists of them, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.inputs.arrays import check_mask, check_pixels
    from fitter.inputs.images import (
        CameraExif,
        ImageEntry,
        ReadLimits,
        read_image,
        read_image_and_exif,
    )
    from fitter.inputs.intrinsics import Intrinsics, check_intrinsics
    from fitter.inputs.keypoint_files import KeypointFiles, hand_observation
    from fitter.inputs.listing import ImageSource
    from fitter.inputs.mask_files import MaskFolder, read_mask
    from fitter.inputs.names import NameList
    from fitter.inputs.sources import Sources

__all__ = [
    "CameraExif",
    "ImageEntry",
    "ImageSource",
    "Intrinsics",
    "KeypointFiles",
    "MaskFolder",
    "NameList",
    "ReadLimits",
    "Sources",
    "check_intrinsics",
    "check_mask",
    "check_pixels",
    "hand_observation",
    "read_image",
    "read_image_and_exif",
    "read_mask",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CameraExif": "fitter.inputs.images",
        "ImageEntry": "fitter.inputs.images",
        "ImageSource": "fitter.inputs.listing",
        "Intrinsics": "fitter.inputs.intrinsics",
        "KeypointFiles": "fitter.inputs.keypoint_files",
        "MaskFolder": "fitter.inputs.mask_files",
        "NameList": "fitter.inputs.names",
        "ReadLimits": "fitter.inputs.images",
        "Sources": "fitter.inputs.sources",
        "check_intrinsics": "fitter.inputs.intrinsics",
        "check_mask": "fitter.inputs.arrays",
        "check_pixels": "fitter.inputs.arrays",
        "hand_observation": "fitter.inputs.keypoint_files",
        "read_image": "fitter.inputs.images",
        "read_image_and_exif": "fitter.inputs.images",
        "read_mask": "fitter.inputs.mask_files",
    },
)
