"""Which hands of an image the engine gives to the stage that fits those that touch together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitter.camera import project
from fitter.config.options import Config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandCrop, HandObservation
from tests.support.refine_scenes import camera, scene_model, true_hands, view_of

SIDE = 128


class Taken:
    """In the place of the joint stage: keeps what it is given, and changes nothing."""

    is_wanted = True

    def __call__(self, hands):
        self.eligible = hands.eligible.tolist()
        return hands.refined, {}


def engine(least: float) -> Engine:
    free = ["global_orient", "pose", "shape", "camera"]
    solved = {"solver": "lm", "free": free, "iterations": 1, "energies": {"keypoints": 1.0}}
    found = Engine(
        Config.model_validate(
            {
                "init": {"source": "keypoints"},
                "refine": {"stages": {"only": solved}},
                "output": {"min_quality": least},
            }
        )
    )
    found.interaction = Taken()
    return found


@pytest.fixture(scope="module")
def image() -> DetectedImage:
    """A hand as it is, and one whose keypoints are anywhere."""
    scenes = scene_model()
    truth = true_hands(scenes, 1)
    view = view_of(scenes, truth, SIDE)
    K = camera(1, SIDE)
    pixels = project(scenes.hand(truth.to(view.image.dtype)).keypoints, K.to(view.image))[0].numpy()
    shown = np.round(255 * view.image[0].numpy().clip(0, 1)).astype(np.uint8)
    mask = np.round(255 * view.mask[0].numpy()).astype(np.uint8)
    sure = np.full(21, 0.9)
    crop = HandCrop(shown, None, mask, K[0].numpy(), pixels, sure, np.empty((0, 21, 2)))
    good = HandObservation(pixels.astype(float), sure, "right", 0.95, 0.9, presence=0.97)
    noise = np.random.default_rng(0).normal(0, 0.2 * SIDE, pixels.shape)
    bad = replace(good, keypoints=good.keypoints + noise)
    return DetectedImage((SIDE, SIDE), K[0].numpy(), "given", (good, bad), (crop, crop))


def test_hands_that_are_refused_afterwards_push_no_other(image) -> None:
    everyone = engine(0.0)
    (row,) = everyone.fit([image])
    assert everyone.interaction.eligible == [True, True]
    good, bad = (hand.score for hand in row.hands)
    assert good > bad
    some = engine((good + bad) / 2)
    (row,) = some.fit([image])
    assert some.interaction.eligible == [True, False]
    assert [hand.valid for hand in row.hands] == [True, False]


def test_a_hand_that_looks_like_none_takes_no_part(image) -> None:
    good, _ = image.hands
    doubtful = replace(good, presence=0.0)
    found = engine(0.0)
    found.fit([replace(image, hands=(good, doubtful))])
    assert found.interaction.eligible == [True, False]
