"""Records of the synthetic engine: what is random about a sample, and what a rendered one holds.

Every field of a spec is a tensor with the batch first, sampled by `datasets.synthetic.specs` from
generators seeded by (seed, index) alone. Floating-point fields are float64 where they pose hands,
float32 elsewhere. Frames and units are those of `fitter.conventions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from datasets.keypoint_states import VISIBLE
from fitter.records import HandParams, TensorBatch

Batch = TypeVar("Batch", bound=TensorBatch)

BACKGROUND, HAND, FOREARM, SLEEVE, OBJECT, OTHER_HAND = range(6)
"""What a pixel shows: values of `SyntheticBatch.parts`."""

OBJECTS = 2
"""Objects of a sample: one in the grasp, one that floats in front."""
LIGHTS = 3
"""Directional lights of a sample; the first two cast shadows."""
PROFILE = 5
"""Numbers that describe the outline of an object along its axis."""
FOLDS = 6
"""Waves that fold a sleeve."""


KNIT, LATEX, LEATHER, WORK = range(4)
"""Values of `GloveSpec.kind`."""
COLOUR, GREY, INFRARED = range(3)
"""Values of `ImagingSpec.kind`."""


class NestedBatch(TensorBatch):
    """A batch that holds other batches: all of it moves to a device together."""

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`TensorBatch.to` on every field, be it a tensor or a record."""
        return self.map(
            lambda part: part.to(*args) if isinstance(part, TensorBatch) else _moved(part, *args)
        )


def _moved(tensor: Tensor, *args: torch.device | torch.dtype | str) -> Tensor:
    if not tensor.is_floating_point():
        args = tuple(a for a in args if not isinstance(a, torch.dtype))
    for arg in args:
        tensor = tensor.to(arg)
    return tensor


@dataclass(frozen=True)
class ViewpointSpec(TensorBatch):
    """Camera of B samples: a full image and the square crop of it.

    Attributes:
        intrinsics: (B, 3, 3) float64 K in pixels of the full image.
        centre: (B, 2) float64 of the crop, pixels of the full image.
        side: (B,) float64 of the crop, pixels of the full image.
        egocentric: (B,) bool, the camera sits on the head of the hand's owner.
    """

    intrinsics: Tensor
    centre: Tensor
    side: Tensor
    egocentric: Tensor


@dataclass(frozen=True)
class ArmSpec(TensorBatch):
    """Forearm and sleeve of B hands.

    Attributes:
        bend, deviation: (B,) radians at the wrist, toward the palm and toward the thumb.
        girth: (B,) forearm's width over that of a mean one.
        cuff: (B,) metres from the end of the hand model to the sleeve's hem; beyond 0.5 is bare.
        slack: (B,) metres between skin and sleeve.
        folds: (B, FOLDS, 4) waves of the cloth: rate along the arm (1/m), turns around it, phases.
        colours: (B, 2, 3) sRGB in [0, 1] of cloth and pattern.
        pattern: (B, 3) share of the pattern, its bands a metre along the arm, and around it.
        size: (B,) of the hand, 1 for an adult's.
    """

    bend: Tensor
    deviation: Tensor
    girth: Tensor
    cuff: Tensor
    slack: Tensor
    folds: Tensor
    colours: Tensor
    pattern: Tensor
    size: Tensor


@dataclass(frozen=True)
class GloveSpec(TensorBatch):
    """Gloves of B hands; places are those of the hand at rest.

    Attributes:
        present: (B,) bool.
        kind: (B,) int64, KNIT, LATEX, LEATHER or WORK.
        thickness: (B,) metres; wrinkles: (B,) metres by which it varies.
        cuff: (B,) metres from the end of the hand model to the glove's edge, along the arm.
        flare: (B,) metres by which the cuff stands off.
        fingerless: (B,) bool, fingertips are bare.
        colours: (B, 2, 3) sRGB in [0, 1] of ground, and of stripes, hem and coat.
        sheer: (B,) share of the skin's colour that latex lets through.
        texture: (B, 3) metres of its repeats along and across the fingers, and its strength.
        bands: (B, 2) metres from stripe to stripe, 0 for none, and of the hem.
        coat: (B, 2) cosine to the palm's plane up to which a working glove is coated, below -1 for
            none, and by how much that varies.
        phase: (B, 3, 3) two directions of waves, and phases.
        gloss: (B, 2) as of `SkinSpec`.
    """

    present: Tensor
    kind: Tensor
    thickness: Tensor
    wrinkles: Tensor
    cuff: Tensor
    flare: Tensor
    fingerless: Tensor
    colours: Tensor
    sheer: Tensor
    texture: Tensor
    bands: Tensor
    coat: Tensor
    phase: Tensor
    gloss: Tensor


@dataclass(frozen=True)
class SkinSpec(TensorBatch):
    """Skin of B hands.

    Attributes:
        appearance: (B, A) coefficients of `AppearanceModel`.
        gloss: (B, 2) strength of the broad and of the narrow highlight.
        scatter: (B,) by how much light wraps around edges, as it does below the skin.
    """

    appearance: Tensor
    gloss: Tensor
    scatter: Tensor


@dataclass(frozen=True)
class LightSpec(TensorBatch):
    """Light of B samples, linear RGB, camera axes.

    Attributes:
        toward: (B, LIGHTS, 3) unit, toward each light.
        colour: (B, LIGHTS, 3) irradiance of a surface that faces it; 0 for an absent light.
        softness: (B,) blur of the shadows, metres on the hand.
        sky, ground: (B, 3) radiance from above and from below.
        up: (B, 3) unit, camera axes.
        cast: (B, 3) of the shadow on what is behind: its shift in x and y as a share of the
            image's side, and its strength.
    """

    toward: Tensor
    colour: Tensor
    softness: Tensor
    sky: Tensor
    ground: Tensor
    up: Tensor
    cast: Tensor


@dataclass(frozen=True)
class ObjectSpec(TensorBatch):
    """OBJECTS objects of B samples: round or square bodies around an axis.

    Attributes:
        present: (B, OBJECTS) bool.
        centre: (B, OBJECTS, 3) float64 metres, camera frame.
        axes: (B, OBJECTS, 3, 3) float64 rows: two across, the body's axis; orthonormal.
        half_length: (B, OBJECTS) metres along the axis.
        half_width: (B, OBJECTS, 2) metres across; of an object in the grasp the proportion counts,
            for it grows until it touches the hand.
        largest: (B, OBJECTS) by which `half_width` may be multiplied when it grows; 0 keeps it.
        squareness: (B, OBJECTS) exponent of the cross-section, 2 round, 8 nearly a box.
        profile: (B, OBJECTS, PROFILE) radius along the axis, 1 at most.
        colours: (B, OBJECTS, 2, 3) sRGB in [0, 1]; pattern: (B, OBJECTS, 3) as `ArmSpec.pattern`,
            but bands over the length; gloss: (B, OBJECTS).
    """

    present: Tensor
    centre: Tensor
    axes: Tensor
    half_length: Tensor
    half_width: Tensor
    largest: Tensor
    squareness: Tensor
    profile: Tensor
    colours: Tensor
    pattern: Tensor
    gloss: Tensor


@dataclass(frozen=True)
class SecondHandSpec(NestedBatch):
    """Another hand of B samples.

    Attributes:
        present: (B,) bool.
        left: (B,) bool, it is a left hand; `hand` and `arm` then describe its mirror image.
        hand: `HandParams`; `arm`, `skin`, `glove` as of the first.
    """

    present: Tensor
    left: Tensor
    hand: HandParams
    arm: ArmSpec
    skin: SkinSpec
    glove: GloveSpec


@dataclass(frozen=True)
class BackgroundSpec(TensorBatch):
    """What is behind, of B samples: two windows into images of the bank, one beside the other.

    Attributes:
        picture: (B, 2) in [0, 1), which image of the bank.
        window: (B, 2, 4) x and y of the centre and half width as shares of the image, and
            radians by which the window is rotated.
        gain: (B, 2, 3) multiplied into the linear light.
        edge: (B, 3) unit normal of the border between the two and its distance from the middle as
            a share of the side; the second image lies beyond.
        noise: (B,) strength of smooth unevenness.
        noise_shift: (B, 2) int64, where in the noise tile it is taken from.
    """

    picture: Tensor
    window: Tensor
    gain: Tensor
    edge: Tensor
    noise: Tensor
    noise_shift: Tensor


@dataclass(frozen=True)
class LensSpec(TensorBatch):
    """What camera and file do to B images; lengths as shares of the image's side.

    Attributes:
        exposure: (B,) factor; balance: (B, 3) factors of the colours.
        vignette: (B,) darkening of the corners.
        blur: (B,) standard deviation of the focus.
        motion: (B, 2) half the way that the image moves.
        noise: (B, 2) of the reading and of the photons, standard deviation at grey level 255.
        noise_shift: (B, 2) int64, where in the noise tile it is taken from.
        quality: (B,) of the JPEG compression, 1 to 100.
        contrast: (B,) exponent of the encoded image.
    """

    exposure: Tensor
    balance: Tensor
    vignette: Tensor
    blur: Tensor
    motion: Tensor
    noise: Tensor
    noise_shift: Tensor
    quality: Tensor
    contrast: Tensor


@dataclass(frozen=True)
class ImagingSpec(TensorBatch):
    """What kind of camera takes B images.

    Attributes:
        kind: (B,) int64, COLOUR, GREY or INFRARED.
        weights: (B, 3) of the colours in a grey image, summing to 1.
        skin: (B, 2) reflectance of skin in the infrared, and what is left of its contrast.
        cloth: (B, 2) least reflectance of all else in the infrared, and of how much more it is.
        distance: (B,) metres at which the light at the camera is as strong as the first lamp says.
    """

    kind: Tensor
    weights: Tensor
    skin: Tensor
    cloth: Tensor
    distance: Tensor


@dataclass(frozen=True)
class SampleSpecs(NestedBatch):
    """Everything random about B samples.

    Attributes:
        index: (B,) int64, the samples' numbers in their data set.
        mode: (B,) int64, row of `pose_modes()`.
        hand: `HandParams` of right hands, camera frame, float64.
        view, arm, skin, glove, light, objects, second, background, lens, imaging: their parts.
    """

    index: Tensor
    mode: Tensor
    hand: HandParams
    view: ViewpointSpec
    arm: ArmSpec
    skin: SkinSpec
    glove: GloveSpec
    light: LightSpec
    objects: ObjectSpec
    second: SecondHandSpec
    background: BackgroundSpec
    lens: LensSpec
    imaging: ImagingSpec

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class ViewSpec(NestedBatch):
    """How one camera of a rig sees B scenes, see `datasets.synthetic.rigs`.

    Attributes:
        rotation: (B, 3, 3) float64, translation: (B, 3) float64 metres, from the frame of the
            scene's specs to that of the camera: ``x_camera = R x_scene + t``.
        viewpoint: K and square of its images.
        background, lens: its own.
    """

    rotation: Tensor
    translation: Tensor
    viewpoint: ViewpointSpec
    background: BackgroundSpec
    lens: LensSpec


@dataclass(frozen=True)
class SyntheticBatch(NestedBatch):
    """B rendered samples of S x S pixels, each of one right hand (mirror it for a left one).

    Attributes:
        image: (B, S, S, 3) uint8 sRGB.
        mask: (B, S, S) float32 share of each pixel that shows the hand model's surface.
        parts: (B, S, S) uint8, what most of the pixel shows: BACKGROUND ... OTHER_HAND.
        depth: (B, S, S) float32 metres along z to the nearest thing in the pixel, 0 for background.
        keypoints_3d: (B, 21, 3) float64 metres, camera frame, canonical order.
        keypoints_2d: (B, 21, 2) float64 pixels.
        keypoint_state: (B, 21) uint8: VISIBLE ... OUTSIDE.
        intrinsics: (B, 3, 3) float64 K in pixels of `image`.
        vertices: (B, V, 3) float64 of the hand model, metres, camera frame.
        specs: what they were rendered from.
    """

    image: Tensor
    mask: Tensor
    parts: Tensor
    depth: Tensor
    keypoints_3d: Tensor
    keypoints_2d: Tensor
    keypoint_state: Tensor
    intrinsics: Tensor
    vertices: Tensor
    specs: SampleSpecs

    @property
    def visible(self) -> Tensor:
        """(B, 21) bool: keypoints that nothing hides."""
        return self.keypoint_state == VISIBLE


def joined(parts: Sequence[Batch]) -> Batch:
    """One batch of several, in their order; records inside records too."""
    first = parts[0]
    together = {}
    for field in fields(first):
        values = [getattr(part, field.name) for part in parts]
        nested = isinstance(values[0], TensorBatch)
        together[field.name] = joined(values) if nested else torch.cat(values)
    return replace(first, **together)
