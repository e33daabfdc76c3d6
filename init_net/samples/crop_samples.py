"""Samples as the networks for images see them: cropped, varied, with their truth.

sample -> square around what the detector saw -> one similarity transform of the image -> image,
mask, K and keypoints of the crop together -> colours, blur, noise of the image alone.

The crop is that of `fitter.fitting.crops`: a square whose side is the network's `margin` times the
longer side of the box around the keypoints. Rotating it rotates the camera about its optical axis,
exactly, for an image whose pixels are square: with A the transform, ``A K = K' R_z`` where K' has
A's scale in its focal lengths and ``A c`` for its principal point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import back_project, project, rotation_to
from fitter.hand_models import KeypointDefinition, load_hand_model
from fitter.hand_models.keypoint_model import KeypointModel
from fitter.records import TensorBatch
from fitter.rotations import roma
from init_net.posing import HandPoints
from init_net.records import CropInputs, RegressedHands
from init_net.samples.config import AugmentationConfig
from init_net.samples.shards import HAND_FIELDS, ShardedSamples
from init_net.samples.sightings import Sightings
from init_net.samples.truth import true_keypoints
from init_net.view_frame import view_camera, view_focal

_FIELDS = (
    "image",
    "mask",
    "keypoints_2d",
    "keypoints_3d",
    "intrinsics",
    "has_mask",
    "is_marks",
    *HAND_FIELDS,
)
_SEEN = ("found", "keypoints", "confidence")

ASSUMED_FOCAL = 2.3
"""Focal length, crop units, of a picture whose camera nobody knows: a hand that fills its crop is
0.6 m away, the median of rendered hands."""


@dataclass(frozen=True)
class CropSamples(TensorBatch):
    """B crops of S x S pixels and what is true of their hands, NaN where it is not known.

    Attributes:
        image, keypoints, confidence: see `CropInputs`; keypoints are what the detector saw, of
            confidence 0 where it saw none.
        mask: (B, S, S) share of each pixel that shows the hand.
        positions: (B, 21, 2) true keypoints, crop units about the crop's middle.
        points: (B, 21, 3) true keypoints relative to the wrist, metres, view frame.
        rotations, betas, camera: see `RegressedHands`, the truth.
        focal: (B,) focal length of the view frame's camera, crop units, see `view_focal`;
            `ASSUMED_FOCAL` where it is not known.
        projection: (B, 3, 3) the crop's own camera: ``(x z, y z, z) = H X`` of X in the view frame,
            metres, x and y in crop units about the crop's middle, z the depth along the axis of the
            image's camera. K of the crop after the turn from the view frame: off the axis the image
            is stretched, which no focal length says. A camera that looks at the crop's middle with
            `ASSUMED_FOCAL` where K is not known.
        wrist: (B, 3) true wrist keypoint, metres, view frame; `points` are relative to it.
        has_mask: (B,) bool, the mask is known.
        is_marks: (B,) bool, keypoints are the detector's marks; else joints and fingertips.
        weight: (B,) how far each hand counts; keypoint_weight: (B, 21) each of its keypoints.
    """

    image: Tensor
    keypoints: Tensor
    confidence: Tensor
    mask: Tensor
    positions: Tensor
    points: Tensor
    rotations: Tensor
    betas: Tensor
    camera: Tensor
    focal: Tensor
    projection: Tensor
    wrist: Tensor
    has_mask: Tensor
    is_marks: Tensor
    weight: Tensor
    keypoint_weight: Tensor

    @property
    def inputs(self) -> CropInputs:
        """What the networks see."""
        return CropInputs(self.image, self.keypoints, self.confidence)

    def with_confidence(self, confidence: Tensor) -> CropSamples:
        """The same with another confidence (B, 21) of the keypoints that are given."""
        return replace(self, confidence=confidence)

    @property
    def truth(self) -> HandPoints:
        """Where the keypoints are."""
        return HandPoints(self.points, self.positions)

    @property
    def hands(self) -> RegressedHands:
        """What `HandNet` is to say."""
        return RegressedHands(self.rotations, self.betas, self.camera)


@dataclass(frozen=True)
class CropViews(TensorBatch):
    """The cameras of B crops, and where the hands are before them.

    Attributes:
        rotation: (B, 3, 3) float64, from the frame of the image's camera to the crop's view frame.
        focal: (B,) float64 focal length in the view frame, crop units, see `view_focal`.
        wrist: (B, 3) float64 metres, true wrist keypoint, view frame; NaN where it is not known.
    """

    rotation: Tensor
    focal: Tensor
    wrist: Tensor


@dataclass(frozen=True)
class Cropper:
    """Cuts crops out of samples.

    Attributes:
        samples: that the detector has looked at as they are.
        size: S.
        margin: side of the crop over the longer side of the keypoints' box.
        variation: how crops are varied; None for none, as at inference.
        marks: of hands whose parameters are known, keypoints are where the detector marks them;
            False: joints and fingertips, as a model has them that knows of no marks.
    """

    samples: ShardedSamples
    size: int
    margin: float
    variation: AugmentationConfig | None
    marks: bool = True

    def crop(self, indices: Iterable[int], seed: tuple[int, ...], first: int = 0) -> CropSamples:
        """Crops of samples.

        Args:
            indices: of the samples, B.
            seed: decides how they are varied, non-negative numbers.
            first: place of the first one in the batch that the seed is of. Each crop has a
                generator of its own, by its place, so that a part of a batch is what it is in all
                of it.
        """
        return self.crop_with_views(indices, seed, first)[0]

    def crop_with_views(
        self, indices: Iterable[int], seed: tuple[int, ...], first: int = 0
    ) -> tuple[CropSamples, CropViews]:
        """Crops of samples, see `crop`, and their cameras."""
        numbers = np.fromiter(indices, np.int64)
        rows = self.samples.read(numbers, _FIELDS)
        sighting = self._sightings.read(numbers, np.zeros_like(numbers), _SEEN)
        places = range(first, first + len(numbers))
        generators = [np.random.default_rng((*seed, place)) for place in places]
        seen = sighting["found"][:, None] > 0
        confidence = np.where(seen, np.nan_to_num(sighting["confidence"]), 0.0)
        # Where the detector saw nothing somebody else has to say where the hand is.
        keypoints = np.where(seen[..., None], sighting["keypoints"], rows["keypoints_2d"])
        transforms = self._transforms(keypoints, generators)
        images = [self._image(*row) for row in zip(
            rows["image"], rows["mask"], transforms, generators, strict=True)]  # fmt: skip
        truth, views = _truth(self._model, rows, transforms, self.size)
        positions = np.einsum("bij,bkj->bki", transforms[:, :, :2], keypoints)
        # Those that nobody marked have confidence 0, wherever they are.
        positions = np.where(np.isfinite(positions), positions, 0.0)
        samples = CropSamples(
            image=torch.from_numpy(np.stack([image for image, _ in images])),
            keypoints=torch.from_numpy(positions + transforms[:, None, :, 2]).float(),
            confidence=torch.from_numpy(confidence).float(),
            mask=torch.from_numpy(np.stack([mask for _, mask in images])),
            **truth,
            has_mask=torch.from_numpy(rows["has_mask"]),
            is_marks=self._marked(truth["rotations"], rows["is_marks"]),
            weight=torch.ones(len(numbers)),
            keypoint_weight=torch.ones(len(numbers), 21),
        )
        return samples, views

    @cached_property
    def _sightings(self) -> Sightings:
        return Sightings(self.samples, [1] * len(self.samples.sets))

    @cached_property
    def _model(self) -> KeypointModel:
        model = load_hand_model(dtype=torch.float64, children=True)
        return (
            model.keypoint_model() if self.marks else KeypointDefinition.of(model, "mano").reduced
        )

    def _marked(self, rotations: Tensor, stored: np.ndarray) -> Tensor:
        """(B,) `CropSamples.is_marks`; hands of known rotations have the keypoints asked for."""
        known = rotations.flatten(1).isfinite().all(1)
        return torch.where(known, self.marks, torch.from_numpy(stored))

    def _transforms(
        self, keypoints: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        """(B, 2, 3) from pixels of the image to those of the crop, whose corner is at (0, 0)."""
        low, high = np.nanmin(keypoints, 1), np.nanmax(keypoints, 1)
        centre, side = 0.5 * (low + high), self.margin * (high - low).max(-1)
        count = len(keypoints)
        angle, shift = np.zeros(count), np.zeros((count, 2))
        if self.variation is not None:
            given = self.variation
            draws = np.stack([generator.uniform(-1, 1, 4) for generator in generators])
            angle = np.deg2rad(given.rotation_degrees) * draws[:, 0]
            shift = given.shift * draws[:, 1:3]
            side = side * (1 + given.scale * draws[:, 3])
        scale = self.size / side
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], 1)
        middle = self.size * (0.5 + shift)
        return np.concatenate(
            [linear, (middle - (linear @ centre[..., None])[..., 0])[..., None]], -1
        )

    def _image(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        transform: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(3, S, S) float32 image and (S, S) float32 mask."""
        # OpenCV's pixel centres lie at whole numbers.
        shifted = transform.copy()
        shifted[:, 2] += 0.5 * transform[:, :2].sum(1) - 0.5
        size = (self.size, self.size)
        cut = cv2.warpAffine(image, shifted, size, flags=cv2.INTER_LINEAR)
        share = cv2.warpAffine(mask, shifted, size, flags=cv2.INTER_LINEAR)
        values = cut.astype(np.float32) / 255
        if self.variation is not None:
            values = _varied(values, self.variation, generator)
        return np.ascontiguousarray(values.transpose(2, 0, 1)), share.astype(np.float32) / 255


def _varied(
    image: np.ndarray, given: AugmentationConfig, generator: np.random.Generator
) -> np.ndarray:
    """(S, S, 3) float32 in [0, 1], with other colours, blurred and noisy."""
    contrast, *gains = 1 + given.colour * generator.uniform(-1, 1, 4)
    brightness = 0.5 * given.colour * generator.uniform(-1, 1)
    image = (image - 0.5) * (contrast * np.array(gains, np.float32)) + (0.5 + brightness)
    if generator.random() < given.grey_share:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    blur = given.blur * generator.uniform(-1, 1)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    noise = given.noise * max(0.0, generator.uniform(-1, 1))
    if noise > 0:
        image = image + noise * generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1, dtype=np.float32)


def _cameras(
    intrinsics: np.ndarray, transforms: np.ndarray, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (B, 3, 3) from the cameras of images with K (B, 3, 3) to the view frames of crops
    `size` pixels wide, cut out by transforms (B, 2, 3); focal lengths (B,), crop units, and
    `CropSamples.projection`, NaN where K is."""
    linear = torch.from_numpy(transforms[:, :, :2])
    scale = torch.linalg.det(linear).sqrt()
    roll = torch.zeros(len(linear), 3, 3, dtype=torch.float64)
    roll[:, :2, :2] = linear / scale[:, None, None]
    roll[:, 2, 2] = 1
    K = torch.from_numpy(intrinsics).double()
    centre = (linear @ K[:, :2, 2:])[..., 0] + torch.from_numpy(transforms[:, :, 2])
    crop_K = torch.zeros_like(K)
    crop_K[:, 0, 0] = crop_K[:, 1, 1] = scale * K[:, 0, 0]
    crop_K[:, :2, 2], crop_K[:, 2, 2] = centre, 1
    middle = torch.full((len(K), 1, 2), size / 2, dtype=torch.float64)
    ray = back_project(middle, torch.ones_like(middle[..., 0]), crop_K)[:, 0]
    ray = normalize(ray, dim=-1)
    turn = rotation_to(ray)
    unit_K = crop_K / size
    unit_K[:, :2, 2] -= 0.5
    unit_K[:, 2, 2] = 1
    return turn.mT @ roll, view_focal(unit_K[:, 0, 0], ray), unit_K @ turn


def _truth(
    model: KeypointModel, rows: dict[str, np.ndarray], transforms: np.ndarray, size: int
) -> tuple[dict[str, Tensor], CropViews]:
    """The fields of `CropSamples` that are true whatever was detected, and the crops' cameras."""
    rotation, focal, projection = _cameras(rows["intrinsics"], transforms, size)
    linear, K = torch.from_numpy(transforms[:, :, :2]), torch.from_numpy(rows["intrinsics"])
    hands, is_posed, keypoints = true_keypoints(model, rows)
    points = keypoints @ rotation.mT
    orient, pose = map(roma.rotvec_to_rotmat, (hands.global_orient, hands.hand_pose))
    seen = torch.where(
        is_posed[:, None, None],
        project(keypoints, K.double()),
        torch.from_numpy(rows["keypoints_2d"]).double(),
    )
    positions = (seen @ linear.mT + torch.from_numpy(transforms[:, None, :, 2])) / size - 0.5
    views = CropViews(rotation, focal, points[:, 0])
    is_seen = focal.isfinite()
    focal = torch.where(is_seen, focal, ASSUMED_FOCAL)
    points = points - points[:, :1]
    found = {
        "positions": positions,
        "points": points,
        "rotations": torch.cat([(rotation @ orient)[:, None], pose], 1),
        "betas": hands.betas,
        "camera": weak_camera(points, positions),
        "focal": focal,
        "projection": torch.where(is_seen[:, None, None], projection, view_camera(focal)),
        # That of keypoints relative to the wrist is in no place.
        "wrist": torch.where(views.wrist[:, 2:] > 0, views.wrist, torch.nan),
    }
    return {name: value.float() for name, value in found.items()}, views


def weak_camera(points: Tensor, positions: Tensor) -> Tensor:
    """The weak-perspective camera that sees points where they were seen, by least squares.

    It knows nothing of depth, and in a wide image the crop is stretched away from the middle
    too: no scale fits all points.

    Args:
        points: (B, N, 3) metres relative to the wrist keypoint, view frame.
        positions: (B, N, 2) crop units.

    Returns:
        (B, 3), see `RegressedHands.camera`.
    """
    across = points[..., :2]
    centred = across - across.mean(1, keepdim=True)
    scale = (centred * positions).sum((1, 2)) / centred.square().sum((1, 2)).clamp_min(1e-12)
    place = positions.mean(1) - scale[:, None] * across.mean(1)
    return torch.cat([scale[:, None], place], 1)
