"""Hands rendered by a dome of eight cameras, and what the detector makes of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.rig_scenes import RigEngine, RigScenes
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

VIEWS = {"one": [2], "two": [0, 2], "four": [0, 2, 5, 7], "eight": list(range(8))}
"""Cameras of the dome that are used; neighbours stand 0.4 m apart."""


def rendered_frames(
    count: int, seed: int, config: Config
) -> tuple[list[DetectedFrame], np.ndarray]:
    """Frames of hands as the detector finds them in all eight views, crops with them, and their
    true joints (count, J, 3) in the rig's frame, metres."""
    rig = dome_rig(8, (SIZE, SIZE))
    engine = RigEngine(SyntheticEngine(SIZE, SyntheticSettings.unoccluded()), rig)
    crop = (config.refine.resolution, config.refine.margin)
    frames, truth = [], []
    with HandDetector(DetectorOptions()) as detector:
        for index in range(count):
            scenes = engine.sample(seed, [index])
            frames.append(_detected(detector, engine, scenes, rig, crop))
            joints = pose_keypoints(engine.engine.pose_model.marked, scenes.specs.hand)[0][0]
            camera = rig.cameras[int(scenes.poses.scene_camera[0])]
            truth.append((joints.numpy() - camera.translation) @ camera.rotation)
    return frames, np.stack(truth)


def _detected(
    detector: HandDetector, engine: RigEngine, scenes: RigScenes, rig: Rig, crop: tuple[int, float]
) -> DetectedFrame:
    views = []
    for camera, batch in zip(rig.cameras, engine.render(scenes), strict=True):
        pixels, K = batch.image[0].numpy(), batch.intrinsics[0].numpy()
        record = ImageRecord(camera.name, Path(camera.name), pixels, K, "given")
        hands = tuple(detector.detect(record))
        crops = crop_hands(pixels, K, hands, None, crop)
        views.append(DetectedImage((SIZE, SIZE), K, "given", hands, crops))
    return DetectedFrame(rig, tuple(views))
