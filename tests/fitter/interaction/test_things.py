"""Hands and known things: each hand's own stages keep it out of them, and a group keeps that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from fitter.contact import ObjectMesh, PosedObject
from fitter.energies.known_objects import KnownObjects
from fitter.interaction.group_problem import GroupProblem
from fitter.interaction.joint_stage import grouped_hand
from fitter.interaction.pictured import HandsOfPictures, buckets
from tests.support.held_things import ball_at
from tests.support.touching_cases import TouchingCase, touching_case


@pytest.fixture(scope="module")
def case() -> TouchingCase:
    return touching_case(1)


def vertices(case: TouchingCase, row: int) -> np.ndarray:
    """(V, 3) of a hand, in the picture's camera."""
    points = case.exact(case.truth).vertices[row].numpy()
    return points * [-1, 1, 1] if case.left[row] else points


def plate(case: TouchingCase, row: int, before: float) -> PosedObject:
    """A plate, thin and larger than a hand, so far before the hand's nearest vertex."""
    points = vertices(case, row)
    middle = points.mean(0)
    middle[2] = points[:, 2].min() - before
    box = trimesh.creation.box(extents=(0.4, 0.4, 0.002))
    return PosedObject(
        ObjectMesh("plate", np.array(box.vertices), np.array(box.faces)), np.eye(3), middle
    )


def with_things(case: TouchingCase, hands: HandsOfPictures, things) -> HandsOfPictures:
    """The hands, each beside things of its own."""
    known = KnownObjects.of(things, hands.left.tolist(), case.stage.surface.faces)
    task = replace(hands.refined.task, objects=known)
    return replace(hands, refined=replace(hands.refined, task=task))


def problem_of(case: TouchingCase, hands: HandsOfPictures) -> GroupProblem:
    (bucket,) = buckets(case.stage.groups(hands), case.left.device)
    with torch.inference_mode():
        return case.stage.scene(hands, bucket).problem(hands.refined.params)


@pytest.mark.parametrize("row", [0, 1], ids=["right", "left"])
def test_a_hand_alone_is_in_no_group_whatever_it_holds(case, row) -> None:
    hands = case.hands(case.model.start(case.truth), [row])
    hands = with_things(case, hands, [[plate(case, row, -0.01)]])
    refined, found = case.stage(hands)
    assert found == {} and refined is hands.refined


@pytest.mark.parametrize("row", [0, 1], ids=["right", "left"])
def test_pixels_behind_a_thing_are_nobodys(case, row) -> None:
    hands = case.hands(case.model.start(case.truth))
    drawn = torch.as_tensor(case.masks[row]) > 0
    free = problem_of(case, hands).own.task.view.mask_weight[row]
    assert free[drawn].all()
    for before, is_hidden in ((0.05, True), (-0.5, False)):
        things = [[], []]
        things[row] = [plate(case, row, before)]
        weight = problem_of(case, with_things(case, hands, things)).own.task.view.mask_weight
        assert (weight[row][drawn] == 0).all() == is_hidden
        assert torch.equal(weight[row], free) != is_hidden


def test_what_is_sure_of_places_is_not_what_things_say(case) -> None:
    hands = case.hands(case.model.start(case.truth))
    things = []
    for row in (0, 1):
        # In the hand, so that it is seen nowhere.
        middle = vertices(case, row)[case.model.hand.faces[100]].mean(0)
        things.append([ball_at(tuple(middle + [0, 0, 0.004]), 0.01)])
    alone = problem_of(case, hands)
    beside = problem_of(case, with_things(case, hands, things))
    beside = replace(beside, own=replace(beside.own, task=replace(
        beside.own.task, view=alone.own.task.view)))  # fmt: skip
    state = grouped_hand(hands.refined.params, 2)
    assert (beside.linearize(state).cost - alone.linearize(state).cost).abs() > 1e-3
    one, other = (each.without_one_sided().linearize(state) for each in (alone, beside))
    for name in vars(one):
        assert torch.equal(getattr(one, name), getattr(other, name))
