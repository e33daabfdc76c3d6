"""What the stages after the keypoints fit: a hand with its colours, light and camera, and what is
seen of it in a square crop of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.stages import Free
from fitter.energies.contour import MaskTargets
from fitter.energies.surface import SurfaceGraph
from fitter.fitting.fit_model import FitModel
from fitter.hand_models import HandModel
from fitter.hand_models.appearance import AppearanceModel
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.raster import Fragments, MeshTopology, RasterSettings, rasterize
from fitter.records import HandParams, TensorBatch
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    band_width,
    composite,
    interpolate,
    srgb_from_linear,
    vertex_normals,
)
from fitter.rotations import roma

FIELDS: Mapping[Free, str] = {
    "global_orient": "global_orient",
    "pose": "hand_pose",
    "shape": "betas",
    "camera": "transl",
    "focal": "log_focal",
    "offsets": "offsets",
    "appearance": "appearance",
    "vertex_colours": "vertex_colours",
    "lighting": "lighting",
}
"""The field of `SceneParams` that each group of parameters is."""

LENGTHS = ("transl", "offsets")
"""Fields in metres, which a stage may measure in another unit."""

Light = Literal["ambient_directional", "spherical_harmonics"]


@dataclass(frozen=True)
class SceneParams(TensorBatch):
    """Everything that is fitted of B right hands (left ones are mirrored before).

    Attributes:
        global_orient, hand_pose, betas, transl: see `HandParams`.
        log_focal: (B,) natural logarithm of the true focal length over that of the given K.
        offsets: (B, V, 3) metres, camera frame, added to the posed vertices (Seeber et al. eq. 1).
        appearance: (B, A) coefficients of the model's skin, unit variance.
        vertex_colours: (B, V, 3) added to the skin's colours.
        lighting: (B, 11) S2HAND's light vector, or (B, 27) 9 spherical harmonics of 3 colours.
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
            turn = roma.rotvec_to_unitquat(increments["global_orient"])
            still = roma.rotvec_to_unitquat(self.global_orient)
            changed["global_orient"] = roma.unitquat_to_rotvec(roma.quat_product(turn, still))
        return replace(self, **changed)


@dataclass(frozen=True)
class SceneView(TensorBatch):
    """What is known of B right hands in square crops of S x S pixels.

    Attributes:
        image: (B, S, S, 3) sRGB in [0, 1].
        mask: (B, S, S) share of each pixel that the hand covers.
        mask_weight: (B, S, S) how far to trust the mask; 0 throughout for a hand without one.
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

    @property
    def mask_targets(self) -> MaskTargets:
        """What the contour energy needs."""
        return MaskTargets(self.mask, self.mask_weight, self.intrinsics)


@dataclass(frozen=True)
class SceneModel:
    """A right-hand model with all that the stages need of it, on one device.

    Attributes:
        hand: the model in the dtype that pictures are drawn in.
        fit: what the keypoint stage uses, float64.
        appearance: the model's skin.
        light: which light `SceneParams.lighting` describes.
        linear_light: colours and light are linear and the picture is encoded as sRGB at the end;
            without it they are multiplied as they are, as S2HAND does.
    """

    hand: HandModel
    fit: FitModel
    appearance: AppearanceModel
    light: Light
    linear_light: bool

    @cached_property
    def topology(self) -> MeshTopology:
        """Faces and edges of the mesh."""
        return MeshTopology(self.hand.faces)

    @cached_property
    def graph(self) -> SurfaceGraph:
        """Neighbours of vertices and faces."""
        return SurfaceGraph.of(self.hand.faces, len(self.hand.v_template))

    @cached_property
    def kinematics(self) -> SurfaceKinematics:
        """The surface in the form that is fast to differentiate."""
        return SurfaceKinematics.of(self.hand)

    def start(self, hand: HandParams) -> SceneParams:
        """Scene of a hand as the keypoints left it: no offsets, mean skin, even white light."""
        like = self.hand.v_template
        batch, vertices = len(hand.transl), len(like)
        lighting = like.new_zeros(batch, 11 if self.light == "ambient_directional" else 27)
        if self.light == "ambient_directional":
            # Ambient of 0.7 and a white light of 0.3 that shines along the line of sight.
            values = [0.7, 1, 1, 1, 0.3, 1, 1, 1, 0, 0, -1]
            lighting[:] = like.new_tensor(values)
        else:
            even = SphericalHarmonicsLight.uniform(like.new_ones(batch, 3))
            lighting = even.coefficients.flatten(1)
        return SceneParams(
            **vars(hand.to(like.dtype)),
            log_focal=like.new_zeros(batch),
            offsets=like.new_zeros(batch, vertices, 3),
            appearance=like.new_zeros(batch, self.appearance.count),
            vertex_colours=like.new_zeros(batch, vertices, 3),
            lighting=lighting,
        )


@dataclass(frozen=True)
class Rendering:
    """B hands as the current parameters draw them.

    Attributes:
        bare: (B, V, 3) metres, camera frame, the model without offsets.
        vertices: (B, V, 3) metres, camera frame.
        points: (B, 21, 3) metres, camera frame, the keypoints.
        keypoints: (B, 21, 2) pixels of the crop.
        fragments: the visible surface with its silhouette; None where no energy asks for it.
        colours: (B, V, 3) the skin without light; None where no energy asks for it.
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


def draw(
    model: SceneModel,
    params: SceneParams,
    view: SceneView,
    settings: RasterSettings | None,
    shaded: bool,
) -> Rendering:
    """Draw B hands.

    Args:
        model: the hand.
        params: of B hands.
        view: gives the cameras.
        settings: of the rasteriser; None for keypoints and vertices alone.
        shaded: also colour the hand.
    """
    mesh = model.hand(params.hand)
    intrinsics = focal_applied(view.intrinsics, params.log_focal)
    vertices = mesh.vertices + params.offsets
    keypoints = project(mesh.keypoints, intrinsics)
    drawing = Rendering(mesh.vertices, vertices, mesh.keypoints, keypoints)
    if settings is None:
        return drawing
    screen = torch.cat([project(vertices, intrinsics), vertices[..., 2:]], -1)
    fragments = rasterize(screen, model.topology, (view.size, view.size), settings=settings)
    drawing = replace(drawing, fragments=fragments)
    if not shaded:
        return drawing
    colours = model.appearance.vertex_colours(params.appearance)
    if not model.linear_light:
        colours = srgb_from_linear(colours)
    colours = colours + params.vertex_colours
    # Light is computed at the vertices and interpolated (Gouraud): at this scale a face is a few
    # pixels, and a third of the work is left.
    normals = vertex_normals(vertices, model.hand.faces)
    if model.light == "ambient_directional":
        irradiance = AmbientDirectionalLight.of(params.lighting).irradiance(normals)
    else:
        coefficients = params.lighting.unflatten(-1, (9, 3))
        irradiance = SphericalHarmonicsLight(coefficients).irradiance(normals)
    foreground = interpolate(fragments, model.hand.faces, colours * irradiance)
    if model.linear_light:
        foreground = srgb_from_linear(foreground)
    black = foreground.new_zeros(len(foreground), 3)
    picture = composite(foreground, fragments, black, band_width(settings, (view.size, view.size)))
    return replace(drawing, colours=colours, foreground=foreground, picture=picture)


def focal_applied(intrinsics: Tensor, log_focal: Tensor) -> Tensor:
    """K (B, 3, 3) with its focal lengths multiplied by exp(log_focal), log_focal (B,)."""
    factor = torch.ones_like(intrinsics)
    factor[:, :2, :2] = log_focal.exp()[:, None, None]
    return intrinsics * factor
