"""Colours of the visible surface: skin, cloth, things, at the pixels that show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from datasets.synthetic.arms import ARM_LENGTH, RINGS
from datasets.synthetic.records import HAND, OBJECT, SLEEVE, SampleSpecs
from fitter.hand_models.appearance import AppearanceModel
from fitter.rendering.shading import linear_from_srgb

FURROWS = 0.8
"""By how much the fine structure of the skin is stronger than its pigments."""


class SkinColours:
    """Reflectance of the skin of many people, as textures and along their arms."""

    def __init__(self, appearance: AppearanceModel, loop: Tensor, texels: int) -> None:
        """Prepare.

        Args:
            appearance: on the device where images are rendered.
            loop: (L,) vertices around the wrist.
            texels: side of the texture that images need; it is halved as long as it is larger.
        """
        mean, components = appearance.texture_mean, appearance.texture_components
        while len(mean) >= 2 * texels and len(mean) % 2 == 0:
            mean, components = _halved(mean[None])[0], _halved(components)
        self.texture_mean, self.texture_components = _deepened(mean), components.contiguous()
        at_wrist = appearance.vertex_mean[loop], appearance.vertex_components[:, loop]
        self.loop_mean, self.loop_components = at_wrist
        self.side = len(mean)

    def textures(self, coefficients: Tensor) -> Tensor:
        """(B, T * T, 3) linear RGB."""
        logits = mixed_maps(self.texture_mean, self.texture_components, coefficients)
        return torch.sigmoid(logits).flatten(1, 2)

    def arms(self, coefficients: Tensor) -> Tensor:
        """((RINGS + 1) * L) linear RGB (B, ..., 3) of the loop's and the forearm's vertices: what
        the skin is at the wrist, smoother and smoother along the arm."""
        logits = mixed_maps(self.loop_mean, self.loop_components, coefficients)
        return along_arm(torch.sigmoid(logits.double()).float())


def along_arm(around: Tensor) -> Tensor:
    """Colours (B, L, 3) around the wrist and, smoother and smoother, those of the RINGS rings of
    the forearm: (B, (RINGS + 1) * L, 3)."""
    rings = [around]
    for _ in range(RINGS):
        around = 0.5 * around + 0.25 * (around.roll(1, 1) + around.roll(-1, 1))
        rings.append(around)
    return torch.cat(rings, 1)


def mixed_maps(mean: Tensor, components: Tensor, coefficients: Tensor) -> Tensor:
    """Mean plus coefficients (B, N) times components (N, ...), one after the other: the same for
    every batch."""
    total = mean[None].expand(len(coefficients), *mean.shape).clone()
    shape = (-1, *[1] * mean.ndim)
    for number in range(len(components)):
        total += coefficients[:, number].view(shape) * components[number]
    return total


def _deepened(mean: Tensor) -> Tensor:
    """Logits (T, T, 3) with stronger fine structure: lines and the edges of nails are not only of
    another colour, they are furrows that less light gets into."""
    width = len(mean) // 16 | 1
    image = mean.permute(2, 0, 1)[None]
    smooth = torch.nn.functional.avg_pool2d(image, width, 1, width // 2, count_include_pad=False)
    return (image + FURROWS * (image - smooth))[0].permute(1, 2, 0).contiguous()


def _halved(texture: Tensor) -> Tensor:
    """(N, T/2, T/2, C) means over 2x2 texels."""
    rows = texture[:, ::2] + texture[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def mixed(table: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """(N, C) rows (R, C) of a table at three corners (N, 3), weighted (N, 3).

    What `fitter.rendering.shading.interpolate` gives, for the pixels that show something alone.
    """
    total = table.index_select(0, corners[:, 0]) * weights[:, :1]
    for k in (1, 2):
        total += table.index_select(0, corners[:, k]) * weights[:, k : k + 1]
    return total


def look_up(textures: Tensor, side: int, uv: Tensor, row: Tensor) -> Tensor:
    """Bilinear look-up at pixels.

    Args:
        textures: (B, side * side, 3), row 0 at the top.
        side: T.
        uv: (N, 2), v up, as `fitter.rendering.shading.sample_texture` takes it.
        row: (N,) which texture.

    Returns:
        (N, 3).
    """
    x = (uv[:, 0] * side - 0.5).clamp(0, side - 1.001)
    y = ((1 - uv[:, 1]) * side - 0.5).clamp(0, side - 1.001)
    left, top = x.floor(), y.floor()
    right, down = (x - left)[:, None], (y - top)[:, None]
    index = row * side * side + top.long() * side + left.long()
    flat = textures.view(-1, 3)

    def at(shift: int) -> Tensor:
        return flat.index_select(0, index + shift)

    upper = at(0) * (1 - right) + at(1) * right
    lower = at(side) * (1 - right) + at(side + 1) * right
    return upper * (1 - down) + lower * down


def linear(colours: Tensor) -> Tensor:
    """Linear RGB of sRGB in [0, 1], by way of float64, see `patterned`."""
    return linear_from_srgb(colours.double()).float()


def patterned(colours: Tensor, pattern: Tensor, coordinates: Tensor) -> Tensor:
    """Cloth and painted things at pixels.

    Args:
        colours: (N, 2, 3) linear RGB of ground and pattern.
        pattern: (N, 3) share of the pattern, bands along the length and around.
        coordinates: (N, 2) share of the length and radians.

    Returns:
        (N, 3) linear RGB.
    """
    # Cosines in float64, for their last bit depends on the place in a batch.
    along = torch.cos(2 * math.pi * (pattern[:, 1] * coordinates[:, 0]).double()).float()
    around = torch.cos((pattern[:, 2] * coordinates[:, 1]).double()).float()
    one = (0.5 + 2.5 * (along - 0.2)).clamp(0, 1) * (pattern[:, 1] > 0)
    two = (0.5 + 2.5 * (around - 0.2)).clamp(0, 1) * (pattern[:, 2] > 0)
    # Bands in both directions make squares.
    share = pattern[:, :1] * (one + two - 2 * one * two)[:, None]
    ground, painted = colours.unbind(1)
    return ground + share * (painted - ground)


@dataclass(frozen=True)
class SurfacePoints:
    """N pixels that show something.

    Attributes:
        row: (N,) the sample; kind: (N,) HAND, FOREARM, SLEEVE or OBJECT; number: (N,) which hand's
            or which object.
        coordinates: (N, 2) surface coordinates, see `Mesh`.
        arm_colour: (N, 3) linear RGB interpolated over the forearm.
    """

    row: Tensor
    kind: Tensor
    number: Tensor
    coordinates: Tensor
    arm_colour: Tensor


class Skin(Protocol):
    """Colours of the skin of many people."""

    side: int

    def textures(self, coefficients: Tensor) -> Tensor:
        """(B, side * side, 3) linear RGB of coefficients (B, N)."""


def reflectance(
    skin: Skin, specs: SampleSpecs, points: SurfacePoints, hands: int
) -> tuple[Tensor, Tensor]:
    """Reflectance and gloss at N pixels of B samples that show one or two hands each.

    Returns:
        (N, 3) linear RGB and (N, 2), see `SkinSpec.gloss`.
    """
    batch = len(specs)
    people = [specs.skin, specs.second.skin][:hands]
    arms = [specs.arm, specs.second.arm][:hands]
    colour = points.arm_colour.clone()
    owner = points.row + batch * points.number.clamp_max(hands - 1)
    shine = torch.cat([person.gloss for person in people])
    gloss = shine[owner]

    on_hand = (points.kind == HAND).nonzero()[:, 0]
    textures = torch.cat([skin.textures(person.appearance) for person in people])
    uv = points.coordinates[on_hand]
    colour[on_hand] = look_up(textures, skin.side, uv, owner[on_hand])

    on_cloth = (points.kind == SLEEVE).nonzero()[:, 0]
    which = owner[on_cloth]
    scale = colour.new_tensor([1.0, ARM_LENGTH, 1.0])  # bands a metre to bands a length
    colour[on_cloth] = patterned(
        linear(torch.cat([arm.colours for arm in arms]))[which],
        torch.cat([arm.pattern for arm in arms])[which] * scale,
        points.coordinates[on_cloth],
    )
    gloss[on_cloth] = gloss.new_tensor([0.1, 0.0])

    on_thing = (points.kind == OBJECT).nonzero()[:, 0]
    rows, numbers = points.row[on_thing], points.number[on_thing]
    things = specs.objects
    colour[on_thing] = patterned(
        linear(things.colours)[rows, numbers],
        things.pattern[rows, numbers],
        points.coordinates[on_thing],
    )
    gloss[on_thing] = things.gloss[rows, numbers][:, None].expand(-1, 2)
    return colour, gloss
