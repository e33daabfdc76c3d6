"""What a row of a store is: an image, or a frame that several cameras have seen.

Layout, blocks, commit and reading are the same for both; what differs is in a `RowKind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewRow
from fitter.store.schema import CAMERA, VARIABLES, HandRow, ImageRow
from fitter.store.variables import Variable, declared

RIG = "rig: metres, origin and axes as the rig file has them"

Row = ImageRow | FrameRow

_OF_VIEWS = {field.name for field in fields(ViewHandRow)}
_OF_IMAGES = {
    "person",
    "detector_relative_depth",
    "detector_relative_xyz",
    "shape_information",
    "track",
    "filled",
    "motion_information",
    "focal_scale",
}
"""Variables of hands in single images: cameras of a rig are calibrated, and their images share no
people."""


@dataclass(frozen=True)
class RowKind:
    """What the rows of a store are.

    Attributes:
        name: as the store's attribute ``rows`` has it; that of images is not written.
        item: the first dimension of every variable.
        marker: the variable whose chunks mark committed blocks: one uncompressed byte per row.
        names: the variable with the rows' names.
        coordinates: variables that are none of `variables`, beside those of labels.
        variables: all that are stored of a row.
    """

    name: str
    item: str
    marker: str
    names: str
    coordinates: tuple[str, ...]
    variables: tuple[Variable, ...]

    @staticmethod
    def of(attributes: Mapping[str, Any]) -> RowKind:
        """What a store's attributes say."""
        return FRAMES if attributes.get("rows") == FRAMES.name else IMAGES


def _hand_variables() -> tuple[Variable, ...]:
    """Those of a frame's hands, which are in the rig's frame."""
    found = []
    for variable in declared(HandRow, ("frame", "hand")):
        if variable.name in _OF_VIEWS | _OF_IMAGES:
            continue
        if variable.frame == CAMERA:
            said = variable.long_name.replace("camera", "rig")
            variable = replace(variable, frame=RIG, long_name=said)
        found.append(variable)
    return tuple(found)


FRAME_HAND_VARIABLES = _hand_variables()
FRAME_VARIABLES = (
    *declared(FrameRow, ("frame",)),
    *declared(ViewRow, ("frame", "view")),
    *FRAME_HAND_VARIABLES,
    *declared(ViewHandRow, ("frame", "view", "hand")),
)

RIG_VARIABLES = (
    Variable(
        "camera_intrinsics", ("view",), ("row", "column"), "float64",
        "camera matrix K of the camera's images, without distortion", "pixel", "", (),
    ),
    Variable(
        "camera_rotation", ("view",), ("row", "column"), "float64",
        "R of x_cam = R x_rig + t", "1", "", (),
    ),
    Variable(
        "camera_translation", ("view",), ("xyz",), "float64",
        "t of x_cam = R x_rig + t", "m", CAMERA, (),
    ),
)  # fmt: skip
"""Of a store of frames: where its cameras are. Their distortion is in the attribute ``rig``."""

IMAGES = RowKind("images", "image", "image_status", "image_name", ("image_name",), VARIABLES)
FRAMES = RowKind(
    "frames",
    "frame",
    "frame_status",
    "frame_name",
    ("frame_name", "image_name", *(variable.name for variable in RIG_VARIABLES)),
    FRAME_VARIABLES,
)
ALL_KINDS = (IMAGES, FRAMES)
