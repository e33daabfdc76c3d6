"""The hand model of the stages after the keypoints, and how a scene is rendered with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.stages import Free
from fitter.contact import HandParts, closed
from fitter.energies.scene import Rendering, SceneParams, SceneView, focal_applied
from fitter.energies.surface import SurfaceGraph
from fitter.fitting.fit_model import FitModel
from fitter.hand_models import HandModel
from fitter.hand_models.appearance import Appearance, SurfaceMaps, retouched
from fitter.hand_models.hand_parts import hand_parts
from fitter.hand_models.texels import TexelGraph
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.raster import MeshTopology, RasterSettings, rasterize
from fitter.records import HandParams
from fitter.rendering.shading import (
    FIRST_LIGHT,
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    band_width,
    composite,
    interpolate,
    srgb_from_linear,
    vertex_normals,
)
from fitter.rendering.textured import Surface, TexturedFaces, shade

FIELDS: Mapping[Free, str] = {
    "global_orient": "global_orient",
    "pose": "hand_pose",
    "shape": "betas",
    "camera": "transl",
    "focal": "log_focal",
    "offsets": "offsets",
    "appearance": "appearance",
    "vertex_colours": "vertex_colours",
    "texture": "texture",
    "lighting": "lighting",
}
"""The field of `SceneParams` that each group of parameters is."""

LENGTHS = ("transl", "offsets")
"""Fields in metres, which a stage may measure in another unit."""

Light = Literal["ambient_directional", "spherical_harmonics"]


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
        texture_size: texels along a side of the texture that gives every pixel its colour; 0 takes
            colours at the vertices, which is faster.
    """

    hand: HandModel
    fit: FitModel
    appearance: Appearance
    light: Light
    linear_light: bool
    texture_size: int = 0

    @cached_property
    def topology(self) -> MeshTopology:
        """Faces and edges of the mesh."""
        return MeshTopology(self.hand.faces)

    @cached_property
    def graph(self) -> SurfaceGraph:
        """Neighbours of vertices and faces."""
        return SurfaceGraph.of(self.hand.faces, len(self.hand.v_template))

    @cached_property
    def parts(self) -> tuple[Tensor, HandParts]:
        """Closed faces of the mesh, and which of its parts may not be in each other."""
        return self.closed_faces, hand_parts(self.hand)

    @cached_property
    def closed_faces(self) -> Tensor:
        """(F, 3) int64 of the mesh, closed at the wrist."""
        return closed(self.hand.faces, len(self.hand.v_template))

    @cached_property
    def texture_faces(self) -> TexturedFaces:
        """Where the faces lie in the texture."""
        return TexturedFaces.of(self.hand.data, self.hand.v_template)

    @cached_property
    def texels(self) -> TexelGraph:
        """Neighbours in the texture."""
        return TexelGraph.of(self.hand.data, self.texture_size).to(self.hand.v_template.device)

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
            lighting[:] = like.new_tensor(FIRST_LIGHT)
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
            texture=like.new_zeros(batch, self.texture_size, self.texture_size, 3),
        )

    def lamp(self, lighting: Tensor) -> AmbientDirectionalLight | SphericalHarmonicsLight:
        """The light that `SceneParams.lighting` describes."""
        if self.light == "ambient_directional":
            return AmbientDirectionalLight.of(lighting)
        return SphericalHarmonicsLight(lighting.unflatten(-1, (9, 3)))

    def maps(self, params: SceneParams) -> SurfaceMaps:
        """The skin's maps with the free texture in them."""
        maps = self.appearance.maps(params.appearance, self.texture_size)
        return replace(maps, diffuse=retouched(maps.diffuse, params.texture))


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
    colours, foreground = (_textured if model.texture_size else _coloured)(model, params, drawing)
    if model.linear_light:
        foreground = srgb_from_linear(foreground)
    black = foreground.new_zeros(len(foreground), 3)
    picture = composite(foreground, fragments, black, band_width(settings, (view.size, view.size)))
    return replace(drawing, colours=colours, foreground=foreground, picture=picture)


def _coloured(model: SceneModel, params: SceneParams, drawing: Rendering) -> tuple[Tensor, Tensor]:
    """Colours at the vertices (B, V, 3), and the lit surface (B, S, S, 3).

    Light is computed at the vertices and interpolated (Gouraud): at this scale a face is a few
    pixels, and a third of the work is left.
    """
    assert drawing.fragments is not None
    colours = model.appearance.vertex_colours(params.appearance)
    if not model.linear_light:
        colours = srgb_from_linear(colours)
    colours = colours + params.vertex_colours
    normals = vertex_normals(drawing.vertices, model.hand.faces)
    irradiance = model.lamp(params.lighting).irradiance(normals)
    return colours, interpolate(drawing.fragments, model.hand.faces, colours * irradiance)


def _textured(model: SceneModel, params: SceneParams, drawing: Rendering) -> tuple[Tensor, Tensor]:
    """The skin's texture (B, T, T, 3), and the lit surface (B, S, S, 3)."""
    assert drawing.fragments is not None
    surface = Surface(
        mesh=model.texture_faces,
        vertices=drawing.vertices,
        maps=model.maps(params),
        added=params.vertex_colours,
        linear=model.linear_light,
    )
    return surface.maps.diffuse, shade(surface, drawing.fragments, model.lamp(params.lighting))
