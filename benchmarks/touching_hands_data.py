"""Rendered pairs of touching hands, what the detector finds of them, what is measured of a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from measuring import Stopwatch

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter.config.options import Config
from fitter.contact import Surface, closed
from fitter.engine import Engine
from fitter.fitted_hands import RefinedHands
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.initializer import Predictions
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.hand_models import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import HandMotion
from fitter.hand_slots import Slot
from fitter.interaction.joint_stage import JointStage
from fitter.metrics import pa_mpjpe, penetration_depth
from fitter.records import HandParams, ImageRecord, NormalisedHands, Side, mirror_where
from fitter.store.schema import HandRow, ImageRow
from fitter.workers.image_detector import ImageDetector, find_hands

SIZE = 384
"""Pixels along a side of an image."""

SAME_HAND = 0.3
"""Mean distance of keypoints over hand size below which a found hand is a true one."""

_SIDES: tuple[Side, Side] = ("right", "left")
_ARRAYS = ("joints", "keypoints", "vertices", "positions")

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
class SeenPair:
    """Two hands that touch, the right one first, in the image that shows them.

    Attributes:
        kind: how they touch.
        hands: of them.
        pixels: (S, S, 3) uint8.
        intrinsics: (3, 3) K.
    """

    kind: str
    hands: tuple[TrueHand, TrueHand]
    pixels: np.ndarray
    intrinsics: np.ndarray

    def write(self, path: Path) -> None:
        """Keep it in a file, whole or not at all."""
        arrays = {
            f"{name}{number}": getattr(hand, name)
            for number, hand in enumerate(self.hands)
            for name in _ARRAYS
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, kind=self.kind, pixels=self.pixels, intrinsics=self.intrinsics, **arrays)
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` kept."""
        with np.load(path) as kept:
            right, left = (
                TrueHand(side, *(kept[f"{name}{number}"] for name in _ARRAYS))
                for number, side in enumerate(_SIDES)
            )
            return cls(str(kept["kind"]), (right, left), kept["pixels"], kept["intrinsics"])


@dataclass(frozen=True)
class FoundPair:
    """A pair, and what the detector finds in its image."""

    seen: SeenPair
    detected: DetectedImage


class RenderedPairs:
    """Pairs one after the other, each the same however many there are.

    Attributes:
        watch: processor time of making pairs, drawing and detecting them.
    """

    def __init__(
        self, seed: int, config: Config, known_camera: bool, kept: Path | None = None
    ) -> None:
        """Prepare.

        Args:
            seed: of the pairs.
            config: of the detector.
            known_camera: whether K is told.
            kept: folder where pairs are kept, and read from; what makes them may not change
                meanwhile.
        """
        self.seed, self.config, self.known_camera, self.kept = seed, config, known_camera, kept
        self.detector = ImageDetector(config, detects=True).detector
        self.watch = Stopwatch()

    @cached_property
    def scenes(self) -> InteractionEngine:
        """That makes and draws them."""
        return InteractionEngine(SyntheticEngine(SIZE, SyntheticSettings.unoccluded()), "hands")

    def pair(self, number: int) -> FoundPair:
        """One of them, found by the detector that the configuration names."""
        seen = self.seen(number)
        image = self._image(str(number), seen)
        with self.watch.part("detect"):
            found = find_hands(image, None, None, self.detector, self.config)
        return FoundPair(seen, found)

    def seen(self, number: int) -> SeenPair:
        """One of them, kept or made."""
        path = None if self.kept is None else self.kept / f"{self.seed}-{number:05d}.npz"
        if path is not None and path.exists():
            return SeenPair.read(path)
        made = self._made(number)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.write(path)
        return made

    def _made(self, number: int) -> SeenPair:
        with self.watch.part("make"):
            scene = self.scenes.sample(self.seed, number)
        with self.watch.part("draw"):
            first, second = self.scenes.render(scene)
        hands = (
            self._true(first, scene.specs.hand, "right"),
            self._true(second, scene.specs.second.hand, "left"),
        )
        return SeenPair(scene.kind, hands, first.image[0].numpy(), first.intrinsics[0].numpy())

    def _image(self, name: str, seen: SeenPair) -> ImageRecord:
        if self.known_camera:
            return ImageRecord(name, Path(name), seen.pixels, seen.intrinsics, "given")
        half = np.deg2rad(self.config.camera.default_fov_degrees) / 2
        focal = 0.5 * SIZE / np.tan(half)
        guessed = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
        return ImageRecord(name, Path(name), seen.pixels, guessed, "default")

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


class BothWays(Engine):
    """Fits hands alone and together; what comes before they are fitted together is done once."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ways: dict[str, JointStage] = {
            way: JointStage(
                self.refiner, config.interaction.model_copy(update={"enabled": together})
            )
            for way, together in (("alone", False), ("together", True))
        }
        self._done: dict[tuple[object, ...], Any] = {}
        self.watch = Stopwatch()

    def both(self, images: Sequence[DetectedImage]) -> dict[str, list[ImageRow]]:
        """The rows of images, fitted alone and together."""
        rows = {}
        for way, stage in self.ways.items():
            self.interaction = stage
            with self.watch.part(way):
                rows[way] = self.fit(images)
        self._done.clear()
        return rows

    def _predict(self, slots: Sequence[Slot], hands: NormalisedHands) -> Predictions:
        return self._once("predict", slots, lambda: super(BothWays, self)._predict(slots, hands))

    def _refine(
        self,
        slots: Sequence[Slot],
        hands: NormalisedHands,
        fit: KeypointFit,
        predictions: Predictions,
        known: KnownShape,
        motion: HandMotion | None,
    ) -> RefinedHands | None:
        return self._once(
            "refine",
            slots,
            lambda: super(BothWays, self)._refine(slots, hands, fit, predictions, known, motion),
        )

    def _once(self, name: str, slots: Sequence[Slot], work: Callable[[], Any]) -> Any:
        # The hands live as long as their images do, which a caller holds.
        key = (name, *(id(slot.hand) for slot in slots))
        if key not in self._done:
            self._done[key] = work()
        return self._done[key]


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
    joints = [row.joints_3d for row in rows if row.joints_3d is not None]
    fitted = np.stack(joints).astype(float)
    truth = np.stack([hand.joints for hand in hands])
    apart, wanted = fitted[1, 0] - fitted[0, 0], truth[1, 0] - truth[0, 0]
    off = 1e3 * (apart - wanted)
    meshes = [engine.meshes.vertices(row) for row in rows]
    about_wrists = [
        (mesh - own[0], hand.vertices - hand.joints[0])
        for mesh, own, hand in zip(meshes, fitted, hands, strict=True)
    ]
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
        "mpvpe": float(np.mean([mean_error(*each) for each in about_wrists])),
        "penetration": penetration(meshes, [row.side for row in rows], engine),
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
    first, second = surfaces
    return 1e3 * float(penetration_depth(first, second, cells=None).maximum[0])


def swapped_fingers(row: HandRow, own: TrueHand, other: TrueHand) -> int:
    """Fingertips of a fitted hand that lie on the other hand's rather than where they are."""
    assert row.keypoints_2d is not None
    tips = row.keypoints_2d[TIPS]
    off = np.linalg.norm(tips - own.positions[TIPS], axis=1)
    to_other = np.linalg.norm(tips[:, None] - other.positions[TIPS][None], axis=-1).min(1)
    return int(((to_other < 0.5 * off) & (off > SWAPPED * own.size)).sum())
