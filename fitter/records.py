"""The typed records that travel through the pipeline: what each field means, its shape and unit.

Records of one picture or one hand hold NumPy arrays; batches hold torch tensors, batch first.
Every position follows `fitter.conventions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from fitter.conventions import MIRROR_AXIS_ANGLE

if TYPE_CHECKING:  # records of images hold NumPy arrays: who takes only those need not load PyTorch
    import torch
    from torch import Tensor

    from fitter.tracked_hands import TrackedHand

Side = Literal["left", "right"]
IntrinsicsSource = Literal["given", "exif", "default"]


@dataclass(frozen=True)
class ImageRecord:
    """One decoded photograph.

    Attributes:
        name: path relative to the input folder, with forward slashes.
        path: where it was read from.
        pixels: (H, W, 3) uint8 RGB, upright (EXIF orientation applied).
        intrinsics: (3, 3) float64 K in pixels of `pixels`.
        intrinsics_source: where K came from.
        inside: (H, W) bool, the pixels that show something: what is black since a lens's distortion
            was taken out lies outside the image. None where all do.
    """

    name: str
    path: Path
    pixels: np.ndarray
    intrinsics: np.ndarray
    intrinsics_source: IntrinsicsSource
    inside: np.ndarray | None = None


LEAST_PRESENCE = 0.7
"""Least probability, in every look, that there is a hand. On composed scenes of rendered hands a
third of what is found and is none is below it, and one in sixty of the hands."""


HandKey = tuple[str, Side]
"""Whose hand, and which."""


@dataclass(frozen=True)
class SharedHand:
    """What all images of one person's hand of a side share; see `fitter.groups`.

    Attributes:
        betas: (S,) float64 shape coefficients; a left hand's are those of the mirrored model.
        offsets: (V, 3) float32 metres, of the right hand's vertices in the rest pose, on top of its
            shape; None where none are fitted.
    """

    betas: np.ndarray
    offsets: np.ndarray | None = None


@dataclass(frozen=True)
class HandObservation:
    """One detected hand.

    Attributes:
        keypoints: (21, 2) float64, pixels of the full image.
        confidence: (21,) float64 in [0, 1].
        side: the hand's true side.
        side_score: probability of `side`, in [0.5, 1].
        score: how sure the detector is that this is a hand, in [0, 1].
        relative_depth: (21,) float64 or None; weak depth relative to the wrist, in the unit of
            `keypoints` (pixels), positive away from the camera.
        relative_xyz: (21, 3) float64 or None; weak 3D keypoints, metres, camera axes, arbitrary
            origin.
        features: (2, F) float32, what the landmark network read its landmarks off in a look at the
            picture and in one at its mirror image, NaN without such a look; None where another
            network found the hand.
        presence: probability of the landmark network that it saw a hand, the least of all looks;
            None where another network found the hand.
        hand_size: metres from the wrist's joint along the bones to the middle fingertip, where the
            user knows it, or None.
        person: whose hand it is, where the user says so, or None.
        shared: what is known of this hand from its other images, or None.
        tracked: what is known of it from the other frames of its video; None in a photograph.
    """

    keypoints: np.ndarray
    confidence: np.ndarray
    side: Side
    side_score: float
    score: float
    relative_depth: np.ndarray | None = None
    relative_xyz: np.ndarray | None = None
    features: np.ndarray | None = None
    presence: float | None = None
    hand_size: float | None = None
    person: str | None = None
    shared: SharedHand | None = None
    tracked: TrackedHand | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether a look says that it may be no hand; False where none was asked."""
        return self.presence is not None and self.presence < LEAST_PRESENCE

    @property
    def seen(self) -> np.ndarray:
        """(21,) bool: the keypoints of any confidence."""
        return self.confidence > 0

    @property
    def box(self) -> np.ndarray:
        """(4,) float64: x0, y0, x1, y1 around the keypoints, pixels of the full image.

        Keypoints of confidence 0 were not seen and do not count, unless none was: OpenPose, for
        one, writes (0, 0) for them.
        """
        seen = self.keypoints[self.seen] if self.seen.any() else self.keypoints
        return np.concatenate([seen.min(axis=0), seen.max(axis=0)])


@dataclass(frozen=True)
class HandCrop:
    """One hand in its crop of S x S pixels, as a right hand: what masks and the stages after the
    keypoints see of the image. Positions are in pixels of the crop.

    Attributes:
        pixels: (S, S, 3) uint8 RGB, black outside the image.
        inside: (S, S) uint8, the share of each pixel that lies in the image, in 255ths; None where
            the whole crop does.
        given: (S, S) uint8, the share that a given mask counts as hand, in 255ths; None without
            one.
        intrinsics: (3, 3) float64 K of the crop.
        keypoints: (21, 2) float64.
        confidence: (21,) float64 in [0, 1]; a keypoint of confidence 0 was not seen.
        others: (N, 21, 2) float64 keypoints of the image's other hands, NaN where not seen.
    """

    pixels: np.ndarray
    inside: np.ndarray | None
    given: np.ndarray | None
    intrinsics: np.ndarray
    keypoints: np.ndarray
    confidence: np.ndarray
    others: np.ndarray

    @property
    def side(self) -> int:
        """S."""
        return len(self.pixels)

    @property
    def seen_keypoints(self) -> np.ndarray:
        """(21, 2) float64 keypoints, NaN where not seen."""
        return np.where(self.confidence[:, None] > 0, self.keypoints, np.nan)

    @property
    def inside_share(self) -> np.ndarray:
        """(S, S) float32 in [0, 1], `inside` as a share."""
        if self.inside is None:
            return np.ones(self.pixels.shape[:2], np.float32)
        return _as_share(self.inside)

    @property
    def given_share(self) -> np.ndarray | None:
        """(S, S) float32 in [0, 1], `given` as a share, or None without a mask."""
        return None if self.given is None else _as_share(self.given)

    def mirrored(self) -> HandCrop:
        """The crop of the same hand taken for one of the other side."""
        width = self.side
        intrinsics = self.intrinsics.copy()
        intrinsics[0, 1] = -intrinsics[0, 1]
        intrinsics[0, 2] = width - intrinsics[0, 2]

        def flipped(picture: np.ndarray | None) -> np.ndarray | None:
            return None if picture is None else np.ascontiguousarray(picture[:, ::-1])

        def moved(points: np.ndarray) -> np.ndarray:
            return np.stack([width - points[..., 0], points[..., 1]], -1)

        return replace(
            self,
            pixels=np.ascontiguousarray(self.pixels[:, ::-1]),
            inside=flipped(self.inside),
            given=flipped(self.given),
            intrinsics=intrinsics,
            keypoints=moved(self.keypoints),
            others=moved(self.others),
        )


def _as_share(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / 255


@dataclass(frozen=True)
class TensorBatch:
    """Methods shared by records whose fields are all tensors with the batch first, or such records
    of their own (all but `with_hands`)."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every field that is there; one may be None."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        there = {name: value for name, value in found.items() if value is not None}
        return replace(self, **{name: function(value) for name, value in there.items()})

    def __getitem__(self, index: Tensor | slice) -> Self:
        return self.map(lambda tensor: tensor[index])

    def with_hands(self, index: Tensor, part: Self) -> Self:
        """The batch with `part`'s hands in the place of those at `index` (n,) int64."""
        return replace(
            self,
            **{
                f.name: getattr(self, f.name).index_copy(0, index, getattr(part, f.name))
                for f in fields(self)
            },
        )

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every field; a dtype leaves integer and boolean fields as they are."""
        import torch

        def move(tensor: Tensor) -> Tensor:
            if isinstance(tensor, TensorBatch):
                return tensor.to(*args)
            for a in args:
                if not isinstance(a, torch.dtype) or tensor.is_floating_point():
                    tensor = tensor.to(a)
            return tensor

        return self.map(move)


@dataclass(frozen=True)
class NormalisedHands(TensorBatch):
    """B detected hands as right hands, in the units of the fit; what networks and the fit take.

    Made once by `fitter.fitting.observations.normalise`, which mirrors left hands. Keypoints are in
    the canonical order, bones in that of `fitter.conventions.BONES`. The crop unit is the side of
    the square around the hand's keypoints: K maps that square to [0, 1], so that no constant
    depends on how large the hand is in the image.

    Attributes:
        keypoints: (B, 21, 2) crop units.
        confidence: (B, 21) in [0, 1], 0 for a keypoint that was not seen; in a fit the weight of
            the position, which may be greater where a network has corrected it.
        intrinsics: (B, 3, 3) K of the crop.
        view_direction: (B, 3) unit vector, camera frame, along the ray through the middle of the
            hand.
        relative_depth: (B, 21) along `view_direction`, relative to the wrist, crop units; 0 where
            unknown.
        depth_weight: (B, 20) confidence in the depths of all keypoints but the wrist, 0 where
            unknown.
        bone_directions: (B, 20, 3) unit vectors, camera frame, palm to tip; 0 where unknown.
        bone_weight: (B, 20) confidence in the directions, 0 where unknown.
        features: (B, 2, F) float32, what the landmark network read its landmarks off in the looks
            in which the hand was a right and a left one, see `HandObservation.features`; NaN where
            there was no such look.
        is_usable: (B,) bool; all other values of a hand that is not are NaN.
    """

    keypoints: Tensor
    confidence: Tensor
    intrinsics: Tensor
    view_direction: Tensor
    relative_depth: Tensor
    depth_weight: Tensor
    bone_directions: Tensor
    bone_weight: Tensor
    features: Tensor
    is_usable: Tensor

    def with_depth_gain(self, gain: float) -> NormalisedHands:
        """The same with depths multiplied by the true depth for each unit of the detector's."""
        return replace(self, relative_depth=gain * self.relative_depth)


@dataclass(frozen=True)
class HandParams(TensorBatch):
    """Parameters of B right hands (a left hand is mirrored before and after the fit).

    Attributes:
        global_orient: (B, 3) axis-angle of the wrist.
        hand_pose: (B, R, 3) axis-angle of the other joints that rotate, in the order of the model's
            skeleton (MANO's has 15), relative to the rest (flat) pose: zero means the template.
        betas: (B, S) shape coefficients, unit variance.
        transl: (B, 3) metres, see `fitter.conventions` (the hand turns about its root joint).
    """

    global_orient: Tensor
    hand_pose: Tensor
    betas: Tensor
    transl: Tensor

    def mirrored(self) -> HandParams:
        """The parameters of the mirrored hand for the mirrored model."""
        axis_angle = self.global_orient.new_tensor(MIRROR_AXIS_ANGLE)
        position = self.transl.new_tensor([-1.0, 1.0, 1.0])
        return HandParams(
            self.global_orient * axis_angle,
            self.hand_pose * axis_angle,
            self.betas,
            self.transl * position,
        )

    def mirrored_where(self, mask: Tensor) -> HandParams:
        """`mirrored` for the hands whose entry in `mask` (B,) bool is set, the others unchanged."""
        import torch

        pairs = zip(vars(self).values(), vars(self.mirrored()).values(), strict=True)
        return HandParams(
            *(torch.where(mask.view(-1, *[1] * (a.ndim - 1)), b, a) for a, b in pairs)
        )


def mirror_where(mask: Tensor, points: Tensor) -> Tensor:
    """Points (B, N, 3) with x negated for the hands whose entry in `mask` (B,) bool is set."""
    import torch

    flip = points.new_tensor([-1.0, 1.0, 1.0])
    return torch.where(mask[:, None, None], points * flip, points)


@dataclass(frozen=True)
class HandMesh(TensorBatch):
    """A hand model's output for B hands; same frame as its parameters put it in.

    Attributes:
        vertices: (B, V, 3) metres.
        joints: (B, J, 3) metres, in the order of the model's skeleton (MANO's has 16).
        keypoints: (B, 21, 3) metres, canonical order.
    """

    vertices: Tensor
    joints: Tensor
    keypoints: Tensor


HandSizeSource = Literal["fitted", "given"]
MaskSource = Literal["given", "grabcut", "rejected", "network"]


FitStatus = Literal["converged", "max_iterations", "diverged", "stalled"]
