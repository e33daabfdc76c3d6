"""The energies that a configuration may name, and what each of them needs.

This is the light half of an energy: names and needs, without PyTorch. The other half is the
function of that name in `fitter.energies`, which binds itself to its line here by a decorator
(`fitter.energies.declare`). To add an energy, write the function and its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal


class Need(StrEnum):
    """What an energy looks at beside the hand's parameters and its posed mesh."""

    KEYPOINTS = "keypoints"
    """What a detector or a network says of the keypoints."""
    MASK = "mask"
    """Which pixels the hand covers in the image."""
    IMAGE = "image"
    """The colours of the image."""
    SILHOUETTE = "silhouette"
    """The rendered silhouette."""
    COLOURS = "colours"
    """The rendered colours."""
    NEIGHBOURS = "mesh neighbours"
    """Which vertices and faces of the mesh lie side by side."""
    TEXELS = "texture neighbours"
    """Which texels of the texture lie side by side on the surface."""
    PARTS = "parts of the hand"
    """Which vertices and faces move with which bone."""
    OBJECTS = "known objects"
    """Where things are that the hand may touch; silent for a hand in whose image none is known."""
    MOTION = "motion"
    """What the other frames of a video say; silent for a hand of which they say nothing."""
    CAMERA = "camera"
    """How far from the camera the hand is."""


OBSERVED = frozenset({Need.KEYPOINTS, Need.MASK, Need.IMAGE})
"""What is known of the image; an energy that needs none of it judges the hand alone."""

RENDERED = frozenset({Need.SILHOUETTE, Need.COLOURS})
"""What the rasteriser has to run for."""


@dataclass(frozen=True)
class Declaration:
    """What a configuration has to know of an energy.

    Attributes:
        needs: what it looks at.
        least_squares: whether Levenberg-Marquardt can minimise it.
    """

    needs: frozenset[Need]
    least_squares: bool = False

    @property
    def uses_mask(self) -> bool:
        """Whether it compares with a mask, and is silent for a hand without one."""
        return Need.MASK in self.needs

    @property
    def uses_image(self) -> bool:
        """Whether it compares with anything known of the image."""
        return bool(self.needs & OBSERVED)

    @property
    def uses_view(self) -> bool:
        """Whether it depends on the camera that sees the hand; else it is the hand's own."""
        return bool(self.needs & (OBSERVED | RENDERED | {Need.CAMERA, Need.MOTION}))


def _of(*needs: Need, least_squares: bool = False) -> Declaration:
    return Declaration(frozenset(needs), least_squares)


DECLARATIONS: Mapping[str, Declaration] = {
    "keypoints": _of(Need.KEYPOINTS, least_squares=True),
    "keypoints_smooth_l1": _of(Need.KEYPOINTS),
    "keypoints_l2": _of(Need.KEYPOINTS),
    "bone_orientation": _of(Need.KEYPOINTS),
    "relative_depth": _of(Need.KEYPOINTS, least_squares=True),
    "bone_directions": _of(Need.KEYPOINTS, least_squares=True),
    "silhouette_l2": _of(Need.SILHOUETTE, Need.MASK, least_squares=True),
    "silhouette_iou": _of(Need.SILHOUETTE, Need.MASK),
    "silhouette_ssim": _of(Need.SILHOUETTE, Need.MASK),
    "image_silhouette_ssim": _of(Need.SILHOUETTE, Need.IMAGE),
    "photometric_pixel": _of(Need.SILHOUETTE, Need.COLOURS, Need.IMAGE, Need.KEYPOINTS),
    "photometric_ssim": _of(Need.SILHOUETTE, Need.COLOURS, Need.IMAGE),
    "photometric_rgb": _of(Need.COLOURS, Need.IMAGE),
    "photometric_robust": _of(Need.SILHOUETTE, Need.COLOURS, Need.IMAGE),
    "vertex_offset": _of(),
    "laplacian": _of(Need.NEIGHBOURS),
    "laplacian_change": _of(Need.NEIGHBOURS),
    "normal_consistency": _of(Need.NEIGHBOURS),
    "normal_change": _of(Need.NEIGHBOURS),
    "edge_length": _of(Need.NEIGHBOURS),
    "edge_length_change": _of(Need.NEIGHBOURS),
    "self_penetration": _of(Need.PARTS, least_squares=True),
    "object_penetration": _of(Need.OBJECTS, least_squares=True),
    "object_attraction": _of(Need.OBJECTS, least_squares=True),
    "motion_prior": _of(Need.MOTION, least_squares=True),
    # Levenberg-Marquardt adds these up in this order.
    "limits": _of(least_squares=True),
    "pose_prior": _of(least_squares=True),
    "pose_l2": _of(),
    "shape_prior": _of(least_squares=True),
    "size_prior": _of(least_squares=True),
    "shape_norm": _of(),
    "appearance_prior": _of(),
    "texture_range": _of(Need.COLOURS),
    "texture_smoothness": _of(Need.TEXELS),
    "texture_prior": _of(),
    "camera_scale": _of(Need.CAMERA),
}
"""Every energy by its name in a configuration."""

if TYPE_CHECKING:
    EnergyName = str
else:
    EnergyName = Literal[tuple(DECLARATIONS)]
    """A name of `DECLARATIONS`; type checkers cannot know which there are."""
