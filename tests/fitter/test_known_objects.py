"""Rendered grasps, found by the detector, the object unknown and known: what becomes of the fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter import HandFitter
from fitter.contact import PosedObject, Surface, closed
from fitter.fitted_hand import FittedHand
from fitter.hand_models import load_hand_model
from fitter.hand_slots import beside_objects
from fitter.metrics import penetration_depth
from fitter.store.schema import HandRow
from tests.support.held_things import ball_at

GRASPS = (5, 11)
"""Of seed 9000: hands that, fitted alone, lie deep in what they hold; the second comes out of it
only from another place."""


@pytest.fixture(scope="module")
def grasps() -> dict[str, list]:
    """Images, K and objects, as `HandFitter` takes them."""
    engine = InteractionEngine(SyntheticEngine(512, SyntheticSettings.unoccluded()), "objects")
    given: dict[str, list] = {"images": [], "K": [], "objects": []}
    for index in GRASPS:
        scene = engine.sample(9000, index)
        (batch,) = engine.render(scene)
        given["images"].append(batch.image[0].numpy())
        given["K"].append(batch.intrinsics[0].numpy())
        given["objects"].append([scene.held])
    return given


def depth(hand: FittedHand, thing: PosedObject) -> float:
    """M-PD, millimetres."""
    faces = closed(torch.as_tensor(np.asarray(hand.faces, np.int64)), len(hand.vertices))
    fitted = Surface(torch.as_tensor(np.asarray(hand.vertices, np.float64))[None], faces)
    body = Surface(torch.from_numpy(thing.vertices)[None], torch.from_numpy(thing.mesh.faces))
    return 1000 * float(penetration_depth(fitted, body, None).maximum[0])


def test_the_gap_of_a_left_hand_is_that_of_its_mirror_image():
    model = load_hand_model("open_hand", dtype=torch.float64)
    right = model.v_template.numpy() + [0.0, 0.0, 0.5]
    mirrored = right * [-1.0, 1.0, 1.0]
    refiner = SimpleNamespace(
        model=SimpleNamespace(closed_faces=closed(model.faces, len(right)))
    )  # fmt: skip
    gaps = []
    for side, vertices in (("right", right), ("left", mirrored)):
        meshes = SimpleNamespace(vertices=lambda row, found=vertices: found)
        slot = SimpleNamespace(objects=(ball_at(tuple(vertices.mean(0)), 0.004),))
        row = beside_objects(HandRow(valid=True, side=side, score=0.5), slot, meshes, refiner)
        gaps.append(row.object_gap)
    assert gaps[0] < -0.005 and gaps[1] == pytest.approx(gaps[0], abs=1e-6)


def test_a_hand_is_less_in_the_object_that_is_known(grasps):
    things = [own[0] for own in grasps["objects"]]
    once = {"refine.stages.middle.out_of_objects": False}
    with HandFitter(device="cpu", max_hands=1, options=once) as fitter:
        stuck = fitter(**grasps)[1][0]
    with HandFitter(device="cpu", max_hands=1) as fitter:
        known = fitter(**grasps)
        unknown = fitter(grasps["images"], grasps["K"])
        none = fitter(grasps["images"], grasps["K"], objects=[[] for _ in GRASPS])
    before, after = (
        np.array([depth(hands[0], thing) for hands, thing in zip(found, things, strict=True)])
        for found in (unknown, known)
    )
    for hands, deep in zip(known, after, strict=True):  # seen from either side
        assert hands[0].object_gap is not None
        assert -1000 * hands[0].object_gap == pytest.approx(deep, abs=1e-3)
    assert unknown[0][0].object_gap is None and none[0][0].object_gap is None
    assert after[1] < 5 < 8 < depth(stuck, things[1])
    assert before.min() > 2 and (after < before).all() and after.sum() < 0.6 * before.sum()
    for one, other in zip(none, unknown, strict=True):
        np.testing.assert_array_equal(one[0].vertices, other[0].vertices)
