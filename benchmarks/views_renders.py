"""Hands rendered by a dome of eight cameras, and what the detector makes of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.rig_scenes import RigEngine
from datasets.synthetic.rig_shapes import dome_rig
from datasets.synthetic.settings import SyntheticSettings
from fitter.config.options import Config
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.hand_models import pose_keypoints
from fitter.records import ImageRecord
from fitter.rig import Rig

SIZE = 384
"""Pixels along a side of an image; the cameras stand 0.42 m from the middle, a hand spans
half."""

FOUR = (0, 2, 5, 7)
"""Cameras of the dome that are used where four are: all around."""


@dataclass(frozen=True)
class RenderedScene:
    """A rendered hand.

    Attributes:
        frame: what the detector finds of it in all eight views.
        joints: (J, 3) true ones in the rig's frame, metres.
        keypoints: (21, 3) true ones.
    """

    frame: DetectedFrame
    joints: np.ndarray
    keypoints: np.ndarray

    def seen_by(self, views: Sequence[int]) -> DetectedFrame:
        """The frame as if it had these views alone."""
        cameras = tuple(self.frame.rig.cameras[k] for k in views)
        return DetectedFrame(Rig(cameras), tuple(self.frame.views[k] for k in views))


@dataclass(frozen=True)
class RenderedHands:
    """Hands one after the other, each the same however many there are.

    Attributes:
        seed: of the hands.
        rig: a dome of eight cameras.
        engine: renders them.
        detector: finds them.
        crop: resolution and margin of the crops that go through the stages.
    """

    seed: int
    rig: Rig
    engine: RigEngine
    detector: HandDetector
    crop: tuple[int, float]

    @classmethod
    def of(cls, seed: int, config: Config) -> RenderedHands:
        """Those of a seed, as a configuration cuts them out."""
        engine = SyntheticEngine(SIZE, SyntheticSettings.unoccluded())
        rig = dome_rig(8, (SIZE, SIZE))
        crop = (config.refine.resolution, config.refine.margin)
        return cls(seed, rig, RigEngine(engine, rig), HandDetector(DetectorOptions()), crop)

    def views(self, number: int) -> dict[str, Sequence[int]]:
        """Name of a case -> the cameras of it that see a hand."""
        cameras = self.rig.cameras
        first = number % len(cameras)
        centres = np.stack([-camera.rotation.T @ camera.translation for camera in cameras])
        apart = np.linalg.norm(centres - centres[first], axis=1)
        nearest = int(np.argsort(apart, kind="stable")[1])
        return {
            "one": [first],
            "two": [first, nearest],
            "four": FOUR,
            "eight": range(len(cameras)),
        }

    def scene(self, number: int) -> RenderedScene:
        """One of the hands."""
        scenes = self.engine.sample(self.seed, [number])
        model = self.engine.engine.pose_model.marked
        camera = self.rig.cameras[int(scenes.poses.scene_camera[0])]
        joints, keypoints = (
            (points[0].numpy() - camera.translation) @ camera.rotation
            for points in pose_keypoints(model, scenes.specs.hand)
        )
        images = zip(self.rig.cameras, self.engine.render(scenes), strict=True)
        views = tuple(self._detected(camera.name, batch) for camera, batch in images)
        return RenderedScene(DetectedFrame(self.rig, views), joints, keypoints)

    def _detected(self, name: str, batch: SyntheticBatch) -> DetectedImage:
        pixels, K = batch.image[0].numpy(), batch.intrinsics[0].numpy()
        hands = tuple(self.detector.detect(ImageRecord(name, Path(name), pixels, K, "given")))
        crops = crop_hands(pixels, K, hands, None, self.crop)
        return DetectedImage((SIZE, SIZE), K, "given", hands, crops)
