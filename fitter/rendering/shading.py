"""From fragments to images: normals, attributes at pixels, textures, light and composition.

Everything here is batched, batch first, and differentiable in vertices, attributes, textures and
lights. Colours are linear light unless a name says sRGB; lights live in camera axes (x right,
y down, z forward), so normals must too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from fitter.colours import linear_from_srgb as linear_from_srgb
from fitter.colours import srgb_from_linear as srgb_from_linear
from fitter.normals import unit
from fitter.normals import vertex_normals as vertex_normals
from fitter.raster.types import Fragments, RasterSettings
from fitter.rendering.composition import CompositeOnCpu, composite_tensors
from fitter.rendering.interpolation import InterpolateOnCpu, interpolate_tensors


def interpolate(fragments: Fragments, faces: Tensor, attributes: Tensor) -> Tensor:
    """Attributes of the visible surface at every pixel.

    Differentiable in the attributes and, through the barycentrics, in the vertices.

    Args:
        fragments: of a batch of B images, rendered with F faces.
        faces: (F, 3), or (B, F, 3) for one table per image, integer rows of `attributes` at each
            face's corners, in the order of the rendered faces. A UV map with seams has its own
            table, so this need not be the table the faces were rendered with.
        attributes: (B, A, C) per image or (A, C) shared by the batch.

    Returns:
        (B, H, W, C), 0 where there is no face. Dtype of the attributes.

    Raises:
        ValueError: on the CPU, when a seen face has no row in `faces` or a corner none in
            `attributes`.
    """
    batch = fragments.face_index.shape[0]
    tables = faces.long().expand(batch, -1, 3)
    values = attributes.expand(batch, -1, -1)
    weights = fragments.barycentrics.to(attributes.dtype)
    on_cpu = fragments.face_index.device.type == "cpu"
    implementation = InterpolateOnCpu.apply if on_cpu else interpolate_tensors
    return implementation(fragments.face_index, weights, tables, values)


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear look-up in a texture.

    Args:
        texture: (H, W, C) shared, or (B, H, W, C) one for each image; row 0 at the top.
        uv: (..., 2) for a shared texture, (B, ..., 2) otherwise, in [0, 1]; u to the right, v UP
            from the texture's lower side (the convention of Wavefront OBJ and OpenGL). Positions
            outside take the border's colour.

    Returns:
        (..., C) or (B, ..., C).
    """
    textures = texture if texture.ndim == 4 else texture[None]
    grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], dim=-1).to(texture.dtype)
    sampled = functional.grid_sample(
        textures.permute(0, 3, 1, 2),
        grid.reshape(len(textures), 1, -1, 2),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return sampled[:, :, 0].transpose(1, 2).reshape(*uv.shape[:-1], texture.shape[-1])


def texture_colours(fragments: Fragments, uv: Tensor, uv_faces: Tensor, texture: Tensor) -> Tensor:
    """The texture at every pixel: T = Gamma(I_tex, f, v) of Zhao, section 3.4.

    Args:
        fragments: of a batch of B images.
        uv: (A, 2) texture coordinates, or (B, A, 2); see `sample_texture`.
        uv_faces: (F, 3) or (B, F, 3) rows of `uv`, in the order of the rendered faces.
        texture: (T, T, C) shared, or (B, T, T, C) one for each image.

    Returns:
        (B, H, W, C), 0 where there is no face.
    """
    colours = sample_texture(texture, interpolate(fragments, uv_faces, uv.to(texture.dtype)))
    return torch.where(fragments.mask[..., None], colours, 0)


def _for_normals(field: Tensor, normals: Tensor) -> Tensor:
    """A light's field (C,) or (B, C) in the normals' dtype, to be broadcast to (B, ..., C)."""
    if field.ndim > 1:
        field = field.reshape(len(field), *(1,) * (normals.ndim - 2), field.shape[-1])
    return field.to(normals)


FIRST_LIGHT = (0.7, 1.0, 1.0, 1.0, 0.3, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0)
"""`AmbientDirectionalLight.of` these is where lights begin: ambient of 0.7 and a white light of 0.3
that shines along the line of sight."""


@dataclass(frozen=True)
class AmbientDirectionalLight:
    """One light from infinitely far away plus an ambient part: E = ambient + diffuse max(0, n.d).

    S2HAND, section 3.2: a light is L = (l^a, l_c^a, l^d, l_c^d, n^d), intensity and colour of the
    ambient part, intensity, colour and direction of the directional one; `of` takes these 11
    numbers. The paper states no frame and no sign for n^d: here it is TOWARDS the light in camera
    axes (x right, y down, z forward), so (0, 0, -1) lights from the camera and (0, -1, 0) from
    above.

    Attributes:
        direction: (B, 3) or (3,), towards the light, camera axes, any length. One of length 0
            gives no directional light (and no gradient to the direction).
        diffuse: (B, 3), (B, 1), (3,) or (1,) light of a surface that faces the direction.
        ambient: as `diffuse`, light that arrives from everywhere.
    """

    direction: Tensor
    diffuse: Tensor
    ambient: Tensor

    @classmethod
    def of(cls, vector: Tensor) -> Self:
        """The light of S2HAND's 11 numbers (B, 11): l^a, l_c^a (3), l^d, l_c^d (3), n^d (3).

        Raises:
            ValueError: when it is not 11 numbers per image.
        """
        if vector.ndim != 2 or vector.shape[-1] != 11:
            raise ValueError(f"expected a light of shape (B, 11), got {tuple(vector.shape)}")
        return cls(
            direction=vector[:, 8:11],
            diffuse=vector[:, 4:5] * vector[:, 5:8],
            ambient=vector[:, 0:1] * vector[:, 1:4],
        )

    def irradiance(self, normals: Tensor) -> Tensor:
        """Light that reaches a surface.

        Args:
            normals: (B, ..., 3) unit, camera axes; any shape (..., 3) for a light without a batch.

        Returns:
            (B, ..., 3), or (..., 1) when neither part has a colour. A normal of 0 gets the ambient
            part.
        """
        return self.reflection(normals, 1.0)

    def reflection(self, directions: Tensor, shininess: float) -> Tensor:
        """Light from around some directions, the mean weighted by ``max(0, cos angle)^shininess``.

        With a shininess of 1 that is the irradiance over pi; with a large one it is what a mirror
        shows. Of one directional light it is ``(shininess + 1) / 2 cos^shininess``.

        Args:
            directions: (B, ..., 3) unit, camera axes; any shape (..., 3) without a batch.
            shininess: at least 1.

        Returns:
            As of `irradiance`.
        """
        toward = _for_normals(unit(self.direction), directions)
        cosine = (directions * toward).sum(dim=-1, keepdim=True).clamp_min(0)
        lobe = cosine if shininess == 1 else (shininess + 1) / 2 * cosine**shininess
        ambient = _for_normals(self.ambient, directions)
        return ambient + lobe * _for_normals(self.diffuse, directions)


@dataclass(frozen=True)
class SphericalHarmonicsLight:
    """Distant light as real spherical harmonics up to degree 2.

    The irradiance is equation 13 of Ramamoorthi and Hanrahan, "An efficient representation for
    irradiance environment maps" (SIGGRAPH 2001), divided by pi, so that light of radiance 1 from
    every side gives 1. It may be slightly negative away from a strong light; that is the price of
    degree 2.

    Attributes:
        coefficients: (B, 9, 3), (B, 9, 1), (9, 3) or (9, 1): L00, L1-1, L10, L11, L2-2, L2-1, L20,
            L21, L22 of the incoming radiance; camera axes, so L1-1, L10, L11 go with y (down), z
            (forward), x.
    """

    coefficients: Tensor

    @classmethod
    def uniform(cls, radiance: Tensor) -> Self:
        """The same radiance (B, 3) from every side, whose irradiance is `radiance` everywhere."""
        rest = radiance.new_zeros((len(radiance), 8, radiance.shape[-1]))
        # L00 = integral of radiance * Y00 over the sphere, Y00 = 1 / sqrt(4 pi).
        return cls(torch.cat([math.sqrt(4 * math.pi) * radiance[:, None], rest], dim=1))

    def irradiance(self, normals: Tensor) -> Tensor:
        """Light (B, ..., 3 or 1) that reaches a surface with unit normals (B, ..., 3), camera axes.

        Without a batch in the coefficients the normals may be of any shape (..., 3). A normal of
        0 gets what the polynomial is there, a light without a direction.
        """
        return self.reflection(normals, 1.0)

    def reflection(self, directions: Tensor, shininess: float) -> Tensor:
        """Light from around some directions, as of `AmbientDirectionalLight.reflection`; of this
        light's two degrees.

        Args:
            directions: (B, ..., 3) unit, camera axes; any shape (..., 3) without a batch.
            shininess: at least 1.

        Returns:
            (B, ..., 3 or 1).
        """
        x, y, z = directions.unbind(dim=-1)
        ones = torch.ones_like(x)
        terms = [ones, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
        scales = _lobe(shininess)
        basis = torch.stack(
            [scale * term for scale, term in zip(scales, terms, strict=True)], dim=-1
        )
        coefficients = self.coefficients.to(directions)
        if coefficients.ndim == 2:
            return basis @ coefficients
        return torch.einsum("b...k,bkc->b...c", basis, coefficients)


@cache
def _lobe(shininess: float) -> tuple[float, ...]:
    """Each real harmonic's polynomial, scaled by its normalisation and by what the lobe
    ``(s + 1) / (2 pi) max(0, cos)^s`` leaves of its degree.

    A lobe leaves the mean of the Legendre polynomial of a degree over it: 1, (s + 1) / (s + 2) and
    s / (s + 3). Of s = 1 these are A_l / pi = 1, 2/3, 1/4 of Ramamoorthi and Hanrahan, eq. 8, and
    the products are the exact constants behind equation 13's c1 to c5.
    """
    y0, y1 = math.sqrt(1 / (4 * math.pi)), math.sqrt(3 / (4 * math.pi))
    y2, y20, y22 = (math.sqrt(k / math.pi) for k in (15 / 4, 5 / 16, 15 / 16))
    first, second = (shininess + 1) / (shininess + 2), shininess / (shininess + 3)
    return (
        *(y0, first * y1, first * y1, first * y1),
        *(second * y2, second * y2, second * y20, second * y2, second * y22),
    )


def band_width(settings: RasterSettings, image_size: tuple[int, int]) -> int:
    """Whole pixels that a silhouette reaches beyond the visible surface, for `composite`."""
    if settings.silhouette == "soft":
        # D = cut where d^2 = sigma log(1 / cut - 1), d in units of half the shorter side.
        distance = math.sqrt(settings.sigma * math.log(1 / settings.cut - 1))
        return math.ceil(distance * min(image_size) / 2)
    return math.ceil(settings.band) if settings.silhouette == "edge" else 0


def composite(
    colour: Tensor, fragments: Fragments, background: Tensor, reach: int | None = None
) -> Tensor:
    """The image: alpha * colour + (1 - alpha) * background.

    Where the silhouette reaches beyond the visible surface, the colour there is continued outward
    from the nearest pixels that show it, so that a difference of colours moves the contour. One
    mean over the 3x3 pixels around, of those that already have a colour, continues it by one pixel
    within the silhouette.

    Args:
        colour: (B, H, W, 3) of the visible surface; not looked at where there is none.
        fragments: with a silhouette; without one alpha is 1 where a face is seen, and no gradient
            reaches the contour.
        background: (B, H, W, 3), or (B, 3) or (3,) of one colour.
        reach: pixels by which the colour is continued, as `band_width` says; beyond it the
            background shows. None continues it as far as alpha is above 0, for which a GPU must
            wait.

    Returns:
        (B, H, W, 3), in the colour space of the arguments.
    """
    if background.ndim == 2:
        background = background[:, None, None]
    if fragments.alpha is None:
        return torch.where(fragments.mask[..., None], colour, background)
    implementation = CompositeOnCpu.apply if colour.device.type == "cpu" else composite_tensors
    alpha, background = fragments.alpha.to(colour.dtype), background.to(colour.dtype)
    return implementation(colour, fragments.face_index, alpha, background.expand_as(colour), reach)
