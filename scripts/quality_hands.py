"""Pictures through detector, fit and judgement: features and true errors, for the quality model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from quality_scenes import Scene

from datasets.readers import open_dataset
from fitter import detection, metrics
from fitter.config.options import Config, load_config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.quality.features import FEATURES
from fitter.quality.judge import HandJudge
from fitter.quality.model import Quality
from fitter.records import HandObservation, ImageRecord
from fitter.store.schema import HandRow
from fitter.workers.image_detector import ImageDetector, find_hands
from init_net.samples.shards import ShardedSamples

MODES = ("default", "keypoints_alone", "given", "no_stages")
"""How a hand was fitted: as the command does; started from keypoints, without networks; from
keypoints that somebody gives; without masks and stages."""

SAME_HAND = 0.5
"""Mean distance of detected and true keypoints over the longer side of the true ones' box, up to
which they are one hand's."""

BATCH = 64

HAND, PHANTOM, UNKNOWN = range(3)
"""What a detection is: the hand whose truth is known; none; perhaps another hand."""

_OPTIONS: dict[str, list[str]] = {
    "default": [],
    "keypoints_alone": ["init.source=keypoints"],
    "given": [],
    "no_stages": ["refine.stages={}"],
}


@dataclass(frozen=True)
class MeasuredHands:
    """N fitted hands and what is true of them.

    Attributes:
        scene: (N,) int64 number of the picture.
        mode: (N,) uint8 place in `MODES`.
        kind: (N,) uint8 HAND, PHANTOM or UNKNOWN.
        features: (N, F) by `FEATURES`.
        error_mm: (N,) after alignment, NaN but for a HAND.
        states: (N, 21) uint8 VISIBLE ... OUTSIDE, of a HAND.
        visibility: (N, 21) what the fit says.
    """

    scene: np.ndarray
    mode: np.ndarray
    kind: np.ndarray
    features: np.ndarray
    error_mm: np.ndarray
    states: np.ndarray
    visibility: np.ndarray

    def __len__(self) -> int:
        return len(self.scene)

    def __getitem__(self, index: np.ndarray) -> Self:
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One record of several."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})

    def save(self, path: Path) -> None:
        """Write as npz."""
        np.savez_compressed(path, names=np.array(FEATURES), **vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            SystemExit: it has other features.
        """
        with np.load(path) as arrays:
            if tuple(arrays["names"]) != FEATURES:
                raise SystemExit(f"{path}: expected the features of this version, found others")
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


class Bench:
    """Detector and engines of all modes."""

    def __init__(self, options: Sequence[str] = (), modes: Sequence[str] = MODES) -> None:
        """Load; `options` are overrides of the configuration for all modes."""
        self.config: Config = load_config(None, ["run.device=cpu", *options])
        self.detector = ImageDetector(self.config, detects=True)
        self.engines: dict[str, Engine] = {}
        for mode in modes:
            config = load_config(None, ["run.device=cpu", *options, *_OPTIONS[mode]])
            self.engines[mode] = Engine(config)

    @property
    def identity(self) -> dict[str, str]:
        """What tells detector, networks, hand model and options from others: name -> digest."""
        options = self.config.resolved()
        del options["run"], options["output"]
        detector = hashlib.sha256()
        for path in sorted((Path(detection.__file__).parent / "assets").iterdir()):
            detector.update(path.read_bytes())
        return self.engines["default"].parts | {
            "detector_sha256": detector.hexdigest(),
            "options_sha256": hashlib.sha256(json.dumps(options).encode()).hexdigest(),
        }

    def measure(
        self, scenes: Iterable[Scene], share: Mapping[str, int], first: int = 0
    ) -> Iterator[MeasuredHands]:
        """Fit the hands of pictures, a batch at a time.

        Args:
            scenes: in order.
            share: mode -> every how manieth picture is fitted in it.
            first: number of the first picture.
        """
        remaining, start = iter(scenes), first - BATCH
        while batch := list(islice(remaining, BATCH)):
            start += BATCH
            found = [self._detect(scene) for scene in batch]
            for mode, every in share.items():
                rows = [
                    (start + i, scene, image)
                    for i, (scene, image) in enumerate(zip(batch, found, strict=True))
                    if (start + i) % every == 0
                ]
                if mode == "given":
                    rows = [(n, s, self._given(n, s, image)) for n, s, image in rows]
                yield self._fitted(mode, rows)

    def _detect(self, scene: Scene) -> DetectedImage:
        assert self.detector.detector is not None
        return find_hands(record(scene), None, None, self.detector.detector, self.config)

    def _given(self, number: int, scene: Scene, image: DetectedImage) -> DetectedImage:
        """The same hands as if a user gave their keypoints: half of them as detected, half true
        ones with an error of their own."""
        rng = np.random.default_rng([number, 17])
        true = scene.keypoints_2d
        hands = []
        for hand in image.hands:
            points = hand.keypoints
            if rng.random() < 0.5 and _distance(points, true) < SAME_HAND:
                size = np.ptp(true, axis=0).max()
                points = true + rng.normal(0, rng.uniform(0, 0.04) * size, true.shape)
            hands.append(HandObservation(points, np.ones(21), hand.side, 1.0, 1.0))
        return find_hands(record(scene), hands, None, None, self.config)

    def _fitted(self, mode: str, rows: Sequence[tuple[int, Scene, DetectedImage]]) -> MeasuredHands:
        engine, recorder = self.engines[mode], _Recorder()
        engine.judge = HandJudge(engine.meshes.right, engine.fit_model, recorder)
        images = engine.fit([image for _, _, image in rows])
        hands = [
            (number, scene, hand, own)
            for (number, scene, _), image in zip(rows, images, strict=True)
            for own, hand in zip(_kinds(scene, image.hands), image.hands, strict=True)
        ]
        features = np.concatenate([np.zeros((0, len(FEATURES))), *recorder.features])
        assert len(hands) == len(features)
        kept = np.array([hand.valid for _, _, hand, _ in hands], bool)
        unknown = np.full(21, np.nan)
        return MeasuredHands(
            scene=np.array([n for n, *_ in hands], np.int64),
            mode=np.full(len(hands), MODES.index(mode), np.uint8),
            kind=np.array([kind for *_, kind in hands], np.uint8),
            features=features,
            error_mm=np.array([_error(scene, hand, kind) for _, scene, hand, kind in hands], float),
            states=np.array([scene.states for _, scene, _, _ in hands], np.uint8).reshape(-1, 21),
            visibility=np.array(
                [hand.keypoint_visibility if hand.valid else unknown for _, _, hand, _ in hands],
                np.float32,
            ).reshape(-1, 21),
        )[kept]


class _Recorder:
    """Stands in the place of a quality model and keeps what it is asked."""

    def __init__(self) -> None:
        self.features: list[np.ndarray] = []

    def __call__(self, features: np.ndarray) -> Quality:
        self.features.append(features)
        return Quality(*np.ones((3, len(features))))


def record(scene: Scene) -> ImageRecord:
    """A scene as the detector takes it."""
    return ImageRecord("scene", Path("scene"), scene.pixels, scene.intrinsics, "given")


def _distance(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of keypoints over the size of the true hand; infinite where there is none."""
    if np.isnan(true).any():
        return np.inf
    return float(np.linalg.norm(found - true, axis=1).mean() / np.ptp(true, axis=0).max())


def _kinds(scene: Scene, hands: Sequence[HandRow]) -> list[int]:
    """What each detected hand of a picture is; at most one is the hand."""
    distances = [
        _distance(hand.keypoints_2d_detected, scene.keypoints_2d)
        for hand in hands
        if hand.keypoints_2d_detected is not None
    ]
    nearest = int(np.argmin(distances)) if distances else -1
    return [
        HAND
        if place == nearest and distance < SAME_HAND
        else UNKNOWN
        if scene.other_hand or distance < SAME_HAND  # found twice, as a left and as a right one
        else PHANTOM
        for place, distance in enumerate(distances)
    ]


def _error(scene: Scene, hand: HandRow, kind: int) -> float:
    if kind != HAND or hand.keypoints_3d is None:
        return np.nan
    return 1e3 * float(metrics.pa_mpjpe(hand.keypoints_3d[None], scene.keypoints_3d[None])[0])


def shard_scenes(folder: Path, count: int | None = None) -> Iterator[Scene]:
    """The samples of `init_net.samples.shards`, with another hand perhaps."""
    samples = ShardedSamples(folder, count)
    names = ("image", "intrinsics", "keypoints_3d", "keypoints_2d", "keypoint_state")
    for index in range(len(samples)):
        rows = samples.read([index], names)
        values = [rows[name][0] for name in names]
        yield Scene(values[0], *(v.astype(float) for v in values[1:4]), values[4], True)


def freihand_scenes(folder: Path) -> Iterator[Scene]:
    """Annotated images in FreiHAND's layout, with one right hand each."""
    images = open_dataset("freihand", folder, "evaluation")
    for place in range(len(images)):
        annotation = images.annotation(place)
        assert annotation.intrinsics is not None
        (hand,) = annotation.hands
        yield Scene(
            images.pixels(place),
            annotation.intrinsics,
            hand.keypoints_3d,
            hand.keypoints_2d,
            np.zeros(21, np.uint8),
            False,
        )
