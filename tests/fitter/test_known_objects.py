"""A rendered grasp, its object unknown and known: what becomes of the whole fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter import HandFitter
from fitter.contact import PosedObject, Surface, closed
from fitter.fitted_hand import FittedHand
from fitter.metrics import penetration_depth

GRASPS = 2


@pytest.fixture(scope="module")
def grasps() -> dict[str, list]:
    """Images, K, true keypoints and objects, as `HandFitter` takes them."""
    engine = InteractionEngine(SyntheticEngine(192, SyntheticSettings.unoccluded()), "objects")
    given: dict[str, list] = {"images": [], "K": [], "keypoints": [], "objects": []}
    for index in range(GRASPS):
        scene = engine.sample(7, index)
        (batch,) = engine.render(scene)
        given["images"].append(batch.image[0].numpy())
        given["K"].append(batch.intrinsics[0].numpy())
        points = batch.keypoints_2d[0].numpy()
        given["keypoints"].append([{"side": "right", "keypoints": points}])
        given["objects"].append([scene.held])
    return given


@pytest.fixture(scope="module")
def fitter() -> HandFitter:
    return HandFitter(device="cpu")


def depth(hand: FittedHand, thing: PosedObject) -> float:
    """M-PD, millimetres."""
    faces = closed(torch.as_tensor(np.asarray(hand.faces, np.int64)), len(hand.vertices))
    fitted = Surface(torch.as_tensor(np.asarray(hand.vertices, np.float64))[None], faces)
    body = Surface(torch.from_numpy(thing.vertices)[None], torch.from_numpy(thing.mesh.faces))
    return 1000 * float(penetration_depth(fitted, body, None).maximum[0])


def mirrored(thing: PosedObject) -> dict:
    """The object in the mirrored picture."""
    flip = np.array([-1.0, 1.0, 1.0])
    return {
        "mesh": (thing.vertices * flip, thing.mesh.faces[:, ::-1]),
        "rotation": np.eye(3),
        "translation": np.zeros(3),
    }


def test_a_hand_is_less_in_the_object_that_is_known(grasps, fitter):
    things = [own[0] for own in grasps["objects"]]
    known = fitter(**grasps)
    unknown = fitter(**{**grasps, "objects": None})
    before, after = (
        np.array([depth(hands[0], thing) for hands, thing in zip(found, things, strict=True)])
        for found in (unknown, known)
    )
    assert before.max() > 2 and after.max() < 0.6 * before.max()
    # An object elsewhere, or none, changes nothing.
    none = fitter(**{**grasps, "objects": [[], []]})
    for one, other in zip(none, unknown, strict=True):
        np.testing.assert_array_equal(one[0].vertices, other[0].vertices)


def test_the_mirrored_grasp_is_the_mirrored_hand(grasps, fitter):
    image, K = grasps["images"][0], grasps["K"][0].copy()
    points = grasps["keypoints"][0][0]["keypoints"].copy()
    (right,) = fitter(image, K, keypoints=grasps["keypoints"][0], objects=grasps["objects"][0])
    width = image.shape[1]
    K[0, 2] = width - K[0, 2]
    points[:, 0] = width - points[:, 0]
    (left,) = fitter(
        np.ascontiguousarray(image[:, ::-1]),
        K,
        keypoints=[{"side": "left", "keypoints": points}],
        objects=[mirrored(grasps["objects"][0][0])],
    )
    np.testing.assert_allclose(left.vertices * [-1, 1, 1], right.vertices, atol=2e-4)
