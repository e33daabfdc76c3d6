"""The stereo network at work: hands that two calibrated cameras see.

SeenPair of each hand, two cameras -> `PairNetwork` -> `PairPredictions`, in the rig's frame
    -> `view_prediction` -> `Prediction` for either camera, as a fit takes them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import back_project, rotation_to
from fitter.fitting.initializer import Prediction, ViewedRows
from fitter.hand_models import load_hand_model
from fitter.records import HandCrop, NormalisedHands, TensorBatch
from fitter.rig import RigCamera
from init_net.crop_inputs import crop_inputs
from init_net.networks.stereo import Pictures, StereoHandNet
from init_net.records import CropInputs, FusedHands, StereoInputs
from init_net.stereo_fusion import fuse
from init_net.view_frame import in_camera, relative_keypoints, view_focal
from init_net.weights import load_network

_LARGEST_BATCH = 8
"""Pairs that the network sees at once, see `init_net.predict`."""


@dataclass(frozen=True)
class SeenPair:
    """One hand as two cameras saw it.

    Attributes:
        right, left: its crop in the image of the right and of the left camera, of undistorted
            images and with the margin that the network was trained with; None where it is not
            seen. Crops of a left hand are mirrored, as `HandCrop` has it.
        is_left: it is a left hand.
    """

    right: HandCrop | None
    left: HandCrop | None
    is_left: bool


@dataclass(frozen=True)
class PairPredictions(TensorBatch):
    """N hands in a rig, NaN for those that neither camera saw.

    Attributes:
        keypoints: (N, 21, 3) metres, the rig's frame.
        weights: (N, 48) of the right view (Seeber eq. 6); of a left hand those of its mirror image,
            whose right view is the left camera's.
    """

    keypoints: Tensor
    weights: Tensor


class PairNetwork:
    """A trained `StereoHandNet` for hands that a detector has found in both views."""

    def __init__(self, network: StereoHandNet) -> None:
        """Take a network in eval mode, on its device."""
        self.network = network
        self._device = next(network.parameters()).device
        model = load_hand_model(children=True).keypoint_model()
        self._model = model.to(torch.float32).to(self._device)

    @classmethod
    def of(cls, weights: Path, device: torch.device | str = "cpu") -> Self:
        """Load one.

        Raises:
            InputError: the weights cannot be read, or are of another network, see `load_network`.
        """
        return cls(cast(StereoHandNet, load_network(weights, device, "stereo")))

    @property
    def margin(self) -> float:
        """Side of the crops over the longer side of the keypoints' box."""
        return self.network.config.margin

    @torch.no_grad()
    def __call__(
        self,
        pairs: Sequence[SeenPair],
        right: RigCamera,
        left: RigCamera,
        pictures: Pictures = "real",
    ) -> PairPredictions:
        """Predict N hands.

        In a mirror the right camera is the left one, so the mirror image of a left hand has the
        views of both cameras in exchange.

        Args:
            pairs: N of them.
            right, left: the cameras; their K and distortion do not matter, crops have their own.
            pictures: what the images are; of real ones the image front is the original, see
                `StereoHandNet`.
        """
        if not pairs:
            return PairPredictions(torch.zeros(0, 21, 3), torch.zeros(0, 48))
        parts = [
            self._part(pairs[first : first + _LARGEST_BATCH], right, left, pictures)
            for first in range(0, len(pairs), _LARGEST_BATCH)
        ]
        return PairPredictions(
            torch.cat([part.keypoints for part in parts]),
            torch.cat([part.weights for part in parts]),
        )

    def prediction(self, rows: ViewedRows) -> Prediction:
        """What a fit may begin at: of each row whose hand has two usable views, NaN of the others.

        The pictures are taken for real ones. Which camera of a pair is the right one follows from
        where they stand.
        """
        keypoints = rows.hands.confidence.new_full((len(rows.cameras), 21, 3), torch.nan)
        found = Prediction(keypoints, keypoints[..., :2].clone())
        for right, left in _pairs(rows):
            own, other = rows.cameras[right[0]], rows.cameras[left[0]]
            is_left = rows.is_left[right]
            pairs = [
                SeenPair(rows.crops[k], rows.crops[j], bool(mirrored))
                for k, j, mirrored in zip(right, left, is_left, strict=True)
            ]
            said = self(pairs, own, other)
            for places, camera in ((right, own), (left, other)):
                index = torch.tensor(places, device=keypoints.device)
                seen = view_prediction(said, camera, rows.hands[index], is_left)
                found = found.with_hands(index, seen)
        return found

    def _part(
        self, pairs: Sequence[SeenPair], right: RigCamera, left: RigCamera, pictures: Pictures
    ) -> PairPredictions:
        views = [_View.of(pairs, right, left, is_right) for is_right in (True, False)]
        inputs = self._inputs(views)
        said = self.network(inputs, pictures=pictures)
        fused = fuse(said, inputs.geometry, self._model).to(torch.float64).to("cpu")
        return PairPredictions(views[0].in_rig(fused), said.weights.cpu())

    def _inputs(self, views: Sequence[_View]) -> StereoInputs:
        right, left = views
        turn = right.rotation @ left.rotation.mT
        apart = right.translation - (turn @ left.translation[..., None])[..., 0]
        size = self.network.config.input_size
        inputs = StereoInputs(
            left=_crops(left.crops, size, self._device),
            right=_crops(right.crops, size, self._device),
            rotation=turn.float(),
            translation=apart.float(),
            left_focal=left.focal.float(),
            right_focal=right.focal.float(),
        )
        return inputs.to(self._device)


def view_prediction(
    pairs: PairPredictions, camera: RigCamera, hands: NormalisedHands, is_left: Tensor
) -> Prediction:
    """What is known of hands in a rig as one of its cameras' fits take it.

    A pair of views says where and how large a hand is, but not how sure it is: std is NaN.

    Args:
        pairs: N hands.
        camera: of the rig.
        hands: the same as the camera saw them, as `normalise` gives them.
        is_left: (N,) bool.
    """
    like = hands.view_direction
    R, t = (torch.from_numpy(array).to(like) for array in (camera.rotation, camera.translation))
    points = pairs.keypoints.to(like) @ R.mT + t
    points = torch.where(is_left[:, None, None], points * _MIRROR.to(like), points)
    keypoints = in_camera(relative_keypoints(points, hands), hands)
    return Prediction(keypoints, torch.full_like(keypoints[..., :2], torch.nan))


def _pairs(rows: ViewedRows) -> list[tuple[list[int], list[int]]]:
    """Places of the right and of the left camera's rows, of hands of the same two cameras at
    once."""
    usable = rows.hands.is_usable.tolist()
    places: dict[int, list[int]] = {}
    for place, number in enumerate(rows.hand.tolist()):
        if usable[place]:
            places.setdefault(number, []).append(place)
    found: dict[bytes, tuple[list[int], list[int]]] = {}
    for own in places.values():
        if len(own) != 2:
            continue
        right, left = own
        if not _is_right_of(rows.cameras[right], rows.cameras[left]):
            right, left = left, right
        poses = [(rows.cameras[k].rotation, rows.cameras[k].translation) for k in (right, left)]
        key = b"".join(array.tobytes() for pose in poses for array in pose)
        rights, lefts = found.setdefault(key, ([], []))
        rights.append(right)
        lefts.append(left)
    return list(found.values())


def _is_right_of(camera: RigCamera, other: RigCamera) -> bool:
    """Whether a camera stands on the right of another, by the mean of their axes to the right."""
    axis = camera.rotation[0] + other.rotation[0]
    return bool(axis @ (camera.centre - other.centre) > 0)


_MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
"""What coordinates of a camera are multiplied by to be those of the mirrored picture's."""


@dataclass(frozen=True)
class _View:
    """One view of N hands, as of right ones, float64.

    Attributes:
        crops: N of them.
        focal: (N,) crop units.
        rotation, translation: (N, 3, 3) and (N, 3) metres, from the rig's frame, mirrored for a
            left hand, to the view's.
        mirror: (N, 3) what the rig's coordinates are multiplied by.
    """

    crops: list[HandCrop | None]
    focal: Tensor
    rotation: Tensor
    translation: Tensor
    mirror: Tensor

    @classmethod
    def of(
        cls, pairs: Sequence[SeenPair], right: RigCamera, left: RigCamera, is_right: bool
    ) -> _View:
        crops = [pair.right if is_right != pair.is_left else pair.left for pair in pairs]
        cameras = [right if is_right != pair.is_left else left for pair in pairs]
        R = torch.from_numpy(np.stack([camera.rotation for camera in cameras]))
        t = torch.from_numpy(np.stack([camera.translation for camera in cameras]))
        is_left = torch.tensor([pair.is_left for pair in pairs])
        mirror = torch.where(is_left[:, None], _MIRROR, torch.ones_like(_MIRROR))
        R, t = mirror[:, :, None] * R * mirror[:, None], mirror * t
        seen = [(_NO_VIEW, 1) if c is None else (c.intrinsics, c.side) for c in crops]
        K = torch.from_numpy(np.stack([intrinsics for intrinsics, _ in seen]))
        side = torch.tensor([side for _, side in seen], dtype=torch.float64)
        middle = (0.5 * side)[:, None, None].expand(-1, 1, 2)
        ray = normalize(back_project(middle, torch.ones_like(middle[..., 0]), K)[:, 0], dim=-1)
        turn = rotation_to(ray).mT
        return cls(
            crops,
            view_focal(K[:, 0, 0] / side, ray),
            turn @ R,
            (turn @ t[..., None])[..., 0],
            mirror,
        )

    def in_rig(self, hands: FusedHands) -> Tensor:
        """(N, 21, 3) metres: keypoints of this view in the rig's frame."""
        points = hands.points + hands.wrist[:, None] - self.translation[:, None]
        return (points @ self.rotation) * self.mirror[:, None]


_NO_VIEW = np.eye(3)
"""K of a crop that is not there."""


def _crops(crops: Sequence[HandCrop | None], size: int, device: torch.device) -> CropInputs:
    """Crops in the size that the network takes; those that are not there are NaN."""
    there = [row for row, crop in enumerate(crops) if crop is not None]
    blank = CropInputs(
        image=torch.full((len(crops), 3, size, size), torch.nan, device=device),
        keypoints=torch.full((len(crops), 21, 2), torch.nan, device=device),
        confidence=torch.zeros(len(crops), 21, device=device),
    )
    if not there:
        return blank
    seen = crop_inputs([crop for crop in crops if crop is not None], size, device)
    return blank.with_hands(torch.tensor(there, device=device), seen)
