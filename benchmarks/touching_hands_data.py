"""Rendered pairs of touching hands, what the detector finds of them, what is measured of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter.config.options import Config
from fitter.contact import Surface, closed
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.hand_models import pose_keypoints
from fitter.metrics import pa_mpjpe, penetration_depth
from fitter.records import HandParams, ImageRecord, Side, mirror_where
from fitter.store.schema import HandRow
from fitter.workers.image_detector import ImageDetector, find_hands

SIZE = 384
"""Pixels along a side of an image."""

SAME_HAND = 0.3
"""Mean distance of keypoints over hand size below which a found hand is a true one."""

TIPS = [4, 8, 12, 16, 20]
SWAPPED = 0.1
"""Share of the hand's size by which a fingertip is off at least that has gone to another hand."""


@dataclass(frozen=True)
class TrueHand:
    """A rendered hand in the camera: side, joints (J, 3), keypoints (21, 3), vertices (V, 3) in
    metres, and where the keypoints are seen (21, 2), pixels."""

    side: Side
    joints: np.ndarray
    keypoints: np.ndarray
    vertices: np.ndarray
    positions: np.ndarray

    @property
    def size(self) -> float:
        """Longer side of the box around the keypoints, pixels."""
        return float(np.ptp(self.positions, axis=0).max())


@dataclass(frozen=True)
class RenderedPair:
    """Two hands that touch, the right one first, and what the detector finds in their image."""

    kind: str
    hands: tuple[TrueHand, TrueHand]
    detected: DetectedImage


class RenderedPairs:
    """Pairs one after the other, each the same however many there are."""

    def __init__(self, seed: int, config: Config, known_camera: bool) -> None:
        settings = SyntheticSettings.unoccluded()
        self.scenes = InteractionEngine(SyntheticEngine(SIZE, settings), "hands")
        self.seed, self.config, self.known_camera = seed, config, known_camera
        self.detector = ImageDetector(config, detects=True).detector

    def pair(self, number: int) -> RenderedPair:
        """One of them, found by the detector that the configuration names."""
        scene = self.scenes.sample(self.seed, number)
        first, second = self.scenes.render(scene)
        pixels, K = first.image[0].numpy(), first.intrinsics[0].numpy()
        hands = (
            self._true(first, scene.specs.hand, "right"),
            self._true(second, scene.specs.second.hand, "left"),
        )
        found = find_hands(
            self._image(str(number), pixels, K), None, None, self.detector, self.config
        )
        return RenderedPair(scene.kind, hands, found)

    def _image(self, name: str, pixels: np.ndarray, K: np.ndarray) -> ImageRecord:
        if self.known_camera:
            return ImageRecord(name, Path(name), pixels, K, "given")
        half = np.deg2rad(self.config.camera.default_fov_degrees) / 2
        focal = 0.5 * SIZE / np.tan(half)
        guessed = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
        return ImageRecord(name, Path(name), pixels, guessed, "default")

    def _true(self, batch: SyntheticBatch, params: HandParams, side: Side) -> TrueHand:
        model = self.scenes.engine.pose_model.marked
        left = torch.tensor([side == "left"])
        joints = mirror_where(left, pose_keypoints(model, params)[0])
        return TrueHand(
            side,
            joints[0].numpy(),
            batch.keypoints_3d[0].numpy(),
            batch.vertices[0].double().numpy(),
            batch.keypoints_2d[0].numpy(),
        )


def matched(hands: Sequence[TrueHand], found: DetectedImage) -> list[int | None]:
    """Which found hand each true one is, each found hand at most once, the nearest first."""
    distances = {
        (t, f): float(np.linalg.norm(hand.positions - seen.keypoints, axis=1).mean() / hand.size)
        for t, hand in enumerate(hands)
        for f, seen in enumerate(found.hands)
    }
    of: list[int | None] = [None] * len(hands)
    for (t, f), distance in sorted(distances.items(), key=lambda each: each[1]):
        if distance < SAME_HAND and of[t] is None and f not in of:
            of[t] = f
    return of


def mean_error(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of points (..., 3), millimetres."""
    return 1e3 * float(np.linalg.norm(estimate - truth, axis=-1).mean())


def measured(
    hands: Sequence[TrueHand], rows: Sequence[HandRow], engine: Engine
) -> dict[str, object]:
    """What is measured of two fitted hands beside the true ones; lengths in millimetres."""
    fitted = np.stack([row.joints_3d for row in rows]).astype(float)
    truth = np.stack([hand.joints for hand in hands])
    apart, wanted = fitted[1, 0] - fitted[0, 0], truth[1, 0] - truth[0, 0]
    off = 1e3 * (apart - wanted)
    std = rows[1].relative_place_std
    if std is not None and np.array_equal(std, np.zeros(3)):
        std = rows[0].relative_place_std
    return {
        "relative_place": float(np.linalg.norm(off)),
        "relative_place_xyz": off.round(2).tolist(),
        "relative_place_std": None if std is None else (1e3 * std).round(2).tolist(),
        "mpjpe": mean_error(fitted, truth),
        "mpjpe_of_pair": mean_error(fitted - fitted[0, 0], truth - truth[0, 0]),
        "pa": float(
            np.mean([1e3 * pa_mpjpe(f[None], t[None]) for f, t in zip(fitted, truth, strict=True)])
        ),
        "penetration": penetration(
            [engine.meshes.vertices(row) for row in rows], [row.side for row in rows], engine
        ),
        "swapped_fingers": sum(
            swapped_fingers(row, own, other)
            for row, own, other in zip(rows, hands, hands[::-1], strict=True)
        ),
        "status": rows[0].interaction_status,
    }


def penetration(
    vertices: Sequence[np.ndarray], sides: Sequence[Side | None], engine: Engine
) -> float:
    """M-PD of two hands, exact, millimetres."""
    surfaces = []
    for mesh, side in zip(vertices, sides, strict=True):
        assert side is not None
        faces = closed(torch.as_tensor(engine.meshes.faces(side).copy()), len(mesh))
        surfaces.append(Surface(torch.as_tensor(mesh, dtype=torch.float64)[None], faces))
    return 1e3 * float(penetration_depth(*surfaces, cells=None).maximum[0])


def swapped_fingers(row: HandRow, own: TrueHand, other: TrueHand) -> int:
    """Fingertips of a fitted hand that lie on the other hand's rather than where they are."""
    assert row.keypoints_2d is not None
    tips = row.keypoints_2d[TIPS]
    off = np.linalg.norm(tips - own.positions[TIPS], axis=1)
    to_other = np.linalg.norm(tips[:, None] - other.positions[TIPS][None], axis=-1).min(1)
    return int(((to_other < 0.5 * off) & (off > SWAPPED * own.size)).sum())
