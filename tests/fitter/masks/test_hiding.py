"""Things in front of a hand: found by what they hide, and nobody's in the mask from then on."""

import numpy as np
import pytest

from fitter.masks import HandMask, without_hidden
from fitter.records import HandCrop

SIDE = 96
SKIN, WALL, CAN = (205, 150, 120), (60, 90, 70), (40, 60, 190)
WRIST = [[SIDE / 2, 84.0]]


@pytest.fixture
def scene():
    """A palm of skin before a wall, with the mask of it and the silhouette of its mesh."""
    rng = np.random.default_rng(0)
    palm = np.zeros((SIDE, SIDE), bool)
    palm[16:88, 20:76] = True
    fingers = np.linspace(26, 70, 5)[:, None] * [1, 0] + np.linspace(60, 18, 4)[:, None, None] * [
        0, 1,
    ]  # fmt: skip
    keypoints = np.concatenate([WRIST, fingers.swapaxes(0, 1).reshape(20, 2)])

    def look(thing: np.ndarray, colour=CAN, mesh=palm):
        seen = palm & ~thing
        pixels = np.where(palm[..., None], SKIN, WALL)
        pixels = np.where(thing[..., None], colour, pixels)
        pixels = (pixels + rng.integers(-8, 9, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
        crop = HandCrop(pixels, None, None, np.eye(3), keypoints, np.ones(21), np.empty((0, 21, 2)))
        mask = HandMask(seen.astype(np.float32), np.ones((SIDE, SIDE), np.float32), "network", 0.9)
        return mask, crop, mesh.astype(np.float32)

    return look


def bar() -> np.ndarray:
    """A thing across the palm that reaches beyond it on one side."""
    thing = np.zeros((SIDE, SIDE), bool)
    thing[40:60, 44:92] = True
    return thing


def test_a_thing_in_front_is_nobodys_and_the_rest_is_believed(scene):
    mask, crop, mesh = scene(bar())
    found = without_hidden(mask, crop, mesh)
    hidden = bar() & (mesh > 0.5)
    assert not found.weight[hidden].any()
    np.testing.assert_array_equal(found.mask, mask.mask)
    # The hand that is seen, and the background far from the thing, count as before.
    far = np.ones((SIDE, SIDE), bool)
    far[30:70, 34:96] = False
    assert (found.weight[far] == 1).all() and (found.weight[mask.mask > 0.5] == 1).all()


@pytest.mark.parametrize(
    "thing",
    [
        np.zeros((SIDE, SIDE), bool),  # nothing
        np.pad(np.ones((72, 3), bool), ((16, 8), (20, 73))),  # a rim: the mesh lies beside its hand
    ],
)
def test_a_hand_that_nothing_hides_keeps_its_mask(scene, thing):
    mask, crop, mesh = scene(thing, WALL)
    assert without_hidden(mask, crop, mesh) is mask


def test_what_has_the_hands_colour_is_nobodys_no_more_than_the_mask_says(scene):
    mask, crop, mesh = scene(bar(), SKIN)
    assert without_hidden(mask, crop, mesh) is mask


def test_a_mask_that_is_not_believed_shows_nothing_hidden(scene):
    mask, crop, mesh = scene(bar())
    rejected = mask.rejected()
    assert without_hidden(rejected, crop, mesh) is rejected
