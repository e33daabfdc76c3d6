"""What the Python door takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np

from fitter.contact.records import PosedObject
from fitter.inputs.samples import Sample
from fitter.records import HandObservation
from fitter.rig import Rig

ImageInput: TypeAlias = str | Path | np.ndarray | Sample
"""Path or address of an image, (H, W, 3) uint8 RGB pixels, upright, or a data set's sample."""

ViewInput: TypeAlias = str | Path | np.ndarray
"""One camera's image of a frame: path or address, or (H, W, 3) uint8 RGB pixels, upright."""

HandInput: TypeAlias = HandObservation | Mapping[str, Any]
"""A hand's keypoints given in place of the detector's: a `HandObservation`, or a mapping with
"side" ("left" or "right"), "keypoints" (21 x 2 pixels, or 21 x 3 with a confidence in [0, 1]) and
perhaps "relative_depth" (21 pixels, positive away from the camera)."""

ObjectInput: TypeAlias = PosedObject | Mapping[str, Any]
"""A thing that hands may touch, in the image's camera: a `PosedObject`, or a mapping as
`fitter.inputs.object_poses` describes it."""


class Beside(TypedDict, total=False):
    """What may be given beside images and K, see `fitter.HandFitter.__call__`."""

    keypoints: Any
    masks: Any
    objects: Any
    hand_size: Any
    use: str | Sequence[str]


FrameInput: TypeAlias = Mapping[str, ViewInput]
"""One frame: from names of cameras to images."""

RigInput: TypeAlias = Rig | str | Path | Mapping[str, Any]
"""The cameras, the path of a rig file, or what stands in one."""
