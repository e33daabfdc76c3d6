"""A hand with its colours, light and camera, what is known of it in a square crop of the image, and
how it is rendered there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from fitter.energies.skin_pixels import skin_weight
from fitter.raster import Fragments
from fitter.records import HandParams, TensorBatch
from fitter.rotations import roma


@dataclass(frozen=True)
class SceneParams(TensorBatch):
    """All that is fitted of B right hands (left ones are mirrored before).

    Attributes:
        global_orient, hand_pose, betas, transl: see `HandParams`.
        log_focal: (B,) natural logarithm of the true focal length over that of the given K.
        offsets: (B, V, 3) metres, camera frame, added to the posed vertices (Seeber et al. eq. 1).
        appearance: (B, A) coefficients of the model's skin, unit variance.
        vertex_colours: (B, V, 3) added to the skin's colours.
        lighting: (B, 11) S2HAND's light vector, or (B, 27) 9 spherical harmonics of 3 colours.
        texture: (B, T, T, 3) added to the logits of the skin's texture, see `retouched`; T is 0
            where colours stand at the vertices.
    """

    global_orient: Tensor
    hand_pose: Tensor
    betas: Tensor
    transl: Tensor
    log_focal: Tensor
    offsets: Tensor
    appearance: Tensor
    vertex_colours: Tensor
    lighting: Tensor
    texture: Tensor

    @property
    def hand(self) -> HandParams:
        """The part that poses the model."""
        return HandParams(self.global_orient, self.hand_pose, self.betas, self.transl)

    def with_hand(self, hand: HandParams) -> SceneParams:
        """The same scene with another pose, shape and place."""
        return replace(self, **vars(hand))

    def moved(self, increments: Mapping[str, Tensor]) -> SceneParams:
        """Increments (B, ...) by field added; that of `global_orient` is a rotation in the
        camera's frame, applied from the left, so that no size of the vector is special."""
        changed = {
            name: getattr(self, name) + step
            for name, step in increments.items()
            if name != "global_orient"
        }
        if "global_orient" in increments:
            rotation = roma.rotvec_to_unitquat(increments["global_orient"])
            current = roma.rotvec_to_unitquat(self.global_orient)
            changed["global_orient"] = roma.unitquat_to_rotvec(roma.quat_product(rotation, current))
        return replace(self, **changed)


@dataclass(frozen=True)
class SceneView(TensorBatch):
    """What is known of B right hands in square crops of S x S pixels.

    Attributes:
        image: (B, S, S, 3) sRGB in [0, 1].
        mask: (B, S, S) share of each pixel that the hand covers.
        mask_weight: (B, S, S) confidence in the mask; 0 throughout for a hand without one.
        image_weight: (B, S, S) 1 inside the photograph, 0 beyond its border.
        intrinsics: (B, 3, 3) K in pixels of the crop.
        keypoints: (B, 21, 2) pixels of the crop.
        confidence: (B, 21) in [0, 1].
        focal_unknown: (B,) 1 where K was guessed, 0 where it is known.
    """

    image: Tensor
    mask: Tensor
    mask_weight: Tensor
    image_weight: Tensor
    intrinsics: Tensor
    keypoints: Tensor
    confidence: Tensor
    focal_unknown: Tensor

    @property
    def size(self) -> int:
        """S."""
        return self.image.shape[1]

    @cached_property
    def skin_weight(self) -> Tensor:
        """(B, S, S) in [0, 1], how much each pixel looks like the hand's skin."""
        return skin_weight(self.image, self.mask, self.mask_weight)


@dataclass(frozen=True)
class Rendering:
    """B hands as the current parameters render them.

    Attributes:
        bare: (B, V, 3) metres, camera frame, the model without offsets.
        vertices: (B, V, 3) metres, camera frame.
        points: (B, 21, 3) metres, camera frame, the keypoints.
        keypoints: (B, 21, 2) pixels of the crop.
        fragments: the visible surface with its silhouette; None where no energy asks for it.
        colours: (B, V, 3) the skin without light, or (B, T, T, 3) its texture; None where no energy
            asks for it.
        foreground: (B, S, S, 3) the shaded hand as sRGB; None where no energy asks for it.
        picture: (B, S, S, 3) the same over black by the silhouette; None likewise.
    """

    bare: Tensor
    vertices: Tensor
    points: Tensor
    keypoints: Tensor
    fragments: Fragments | None = None
    colours: Tensor | None = None
    foreground: Tensor | None = None
    picture: Tensor | None = None


def focal_applied(intrinsics: Tensor, log_focal: Tensor) -> Tensor:
    """K (B, 3, 3) with its focal lengths multiplied by exp(log_focal), log_focal (B,)."""
    factor = torch.ones_like(intrinsics)
    factor[:, :2, :2] = log_focal.exp()[:, None, None]
    return intrinsics * factor
