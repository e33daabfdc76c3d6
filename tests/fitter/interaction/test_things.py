"""Hands and known things: hands are kept out of them, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from fitter.contact import ObjectMesh, PosedObject
from fitter.hand_models import HandModel
from fitter.interaction.things import thing_boxes
from fitter.interaction.touching import touching
from tests.support.touching_cases import TouchingCase, pictured, touching_case


@pytest.fixture(scope="module")
def case() -> TouchingCase:
    return touching_case(1)


def plate(case: TouchingCase, row: int) -> PosedObject:
    """A plate right before a hand, in the picture's camera."""
    points = HandModel(case.model.hand.data, torch.float64)(case.truth).vertices[row].numpy()
    if case.left[row]:
        points = points * [-1, 1, 1]
    middle = points.mean(0)
    middle[2] = points[:, 2].min() - 0.011
    box = trimesh.creation.box(extents=(0.12, 0.12, 0.02))
    mesh = ObjectMesh("plate", np.array(box.vertices), np.array(box.faces))
    return PosedObject(mesh, np.eye(3), middle)


@pytest.mark.parametrize("row", [0, 1], ids=["right", "left"])
def test_a_hand_comes_out_of_a_thing(case, row) -> None:
    begun = case.model.start(case.truth)
    begun = replace(begun, transl=begun.transl - torch.tensor([0.0, 0.0, 0.012]))
    things = {0: [plate(case, row)]}
    hands = case.hands(begun, [row])
    refined, found = case.stage(replace(hands, things=things))
    after = found[0]
    assert after.interaction_status == "joint" and after.touch_group == 1
    assert (after.relative_place == 0).all()
    assert after.penetration_depth < 0.003
    off = [p.transl[0, 2] - case.truth.transl[row, 2] for p in (begun[[row]], refined.params)]
    assert abs(float(off[1])) < 0.5 * abs(float(off[0]))


def test_a_thing_elsewhere_changes_nothing(case) -> None:
    thing = plate(case, 0)
    away = replace(thing, translation=thing.translation + [1.0, 0.0, 0.0])
    behind = replace(thing, translation=thing.translation * [1.0, 1.0, -1.0])
    hands = case.hands(case.model.start(case.truth), [0])
    for things in ([], [away], [behind]):
        refined, found = case.stage(replace(hands, things={0: things}))
        assert found == {} and refined is hands.refined


def test_boxes_of_things_touch_those_of_hands() -> None:
    thing = PosedObject(
        ObjectMesh("cube", np.array(trimesh.creation.box().vertices), np.zeros((0, 3), int)),
        np.eye(3),
        np.array([0.0, 0.0, 2.0]),
    )
    boxes = thing_boxes([thing], np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]))
    half = 100 * 0.5 / 1.5
    np.testing.assert_allclose(boxes, [[50 - half, 50 - half, 50 + half, 50 + half]])
    apart = [[0, 0, 10, 10], [80, 80, 90, 90], [200, 0, 210, 10]]
    found = touching(pictured(apart, things={0: boxes}), 0.0)
    assert [(group.hands, group.things) for group in found] == [((1,), ((0, 0),))]
