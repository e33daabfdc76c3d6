"""Chains of rotations along the tree of joints, whatever tree it is (SMPL eqs. 3-4).

All joints of one distance from the root are posed at once: a hand's 16 or 25 joints take as many
steps as its longest finger has joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton

_Chosen = slice | tuple[int, ...]


class _Level(NamedTuple):
    """Joints of one distance from the root, and their parents' places among those of the level
    before; None: the parents are all of these, in their order, or the only one."""

    joints: _Chosen
    parents: _Chosen | None


class _Plan(NamedTuple):
    """How to walk a tree.

    Attributes:
        levels: those after the root's.
        order: place of each joint among the joints of all levels; None: the levels are the columns
            of a table that has a finger in each row, as in MANO.
    """

    levels: tuple[_Level, ...]
    order: tuple[int, ...] | None


def forward_kinematics(
    rotations: Tensor, rest_joints: Tensor, skeleton: Skeleton = MANO_SKELETON
) -> tuple[Tensor, Tensor]:
    """Chain rotations from the root outwards (SMPL eqs. 3-4).

    Args:
        rotations: (B, J, 3, 3) of each joint relative to its parent.
        rest_joints: (B, J, 3) metres.
        skeleton: the tree of the J joints.

    Returns:
        (B, J, 3, 3) rotations relative to the model frame and (B, J, 3) posed joints, metres.
    """
    plan = _plan(skeleton)
    world, places = [rotations[:, :1]], [rest_joints[:, :1]]
    resting = places[0]
    for level in plan.levels:
        rotation, place, before = (
            _above(values, level) for values in (world[-1], places[-1], resting)
        )
        resting = _take(rest_joints, level.joints)
        offset = (resting - before)[..., None]
        places.append(place + (rotation @ offset)[..., 0])
        world.append(rotation @ _take(rotations, level.joints))
    return _in_order(world, plan), _in_order(places, plan)


def world_rotations(local: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """World rotations of the joints, and of the parents of those after the root.

    Args:
        local: (B, J, 3, 3) of each joint relative to its parent.
        skeleton: the tree of the J joints.

    Returns:
        (B, J, 3, 3) and (B, J - 1, 3, 3).
    """
    plan = _plan(skeleton)
    world, parents = [local[:, :1]], [local[:, :1]]
    for level in plan.levels:
        own = _take(local, level.joints)
        above = _above(world[-1], level).expand_as(own)
        parents.append(above)
        world.append(above @ own)
    # The root has no parent; its own place is kept only while the others find theirs.
    return _in_order(world, plan), _in_order(parents, plan)[:, 1:]


def with_still_joints(rotations: Tensor, skeleton: Skeleton) -> Tensor:
    """Local rotations (B, R + 1, 3, 3) of the root and the joints that rotate -> (B, J, 3, 3) of
    all joints, in which the others keep the orientation of their parents."""
    if skeleton.rotations == skeleton.count - 1:
        return rotations
    still = torch.eye(3, dtype=rotations.dtype, device=rotations.device).expand_as(rotations[:, 0])
    turned = dict(zip((0, *skeleton.rotating), rotations.unbind(1), strict=True))
    return torch.stack([turned.get(joint, still) for joint in range(skeleton.count)], 1)


def mano_joints(per_joint: Tensor, skeleton: Skeleton) -> Tensor:
    """Of (B, J, ...) what belongs to the joints that MANO has too, (B, 16, ...) in its order."""
    if skeleton == MANO_SKELETON:
        return per_joint
    return _take(per_joint, skeleton.mano_joints)


def on_moving_joints(per_joint: Tensor, skeleton: Skeleton, dim: int) -> Tensor:
    """Add up what belongs to bones, J entries of a dimension, by the R + 1 joints that rotate them:
    a bone whose joint is still is part of its carrier's."""
    return _summed(per_joint, skeleton.carriers, dim)


def on_mano_joints(per_joint: Tensor, skeleton: Skeleton, dim: int) -> Tensor:
    """Add up what belongs to bones, J entries of a dimension, by the 16 joints of MANO: a
    metacarpal is part of the wrist's segment."""
    return _summed(per_joint, skeleton.mano_carriers, dim)


def _summed(per_joint: Tensor, carriers: tuple[int, ...], dim: int) -> Tensor:
    if carriers == tuple(range(len(carriers))):
        return per_joint
    shape = list(per_joint.shape)
    shape[dim] = max(carriers) + 1
    index = torch.tensor(carriers, device=per_joint.device)
    return per_joint.new_zeros(shape).index_add_(dim, index, per_joint)


@lru_cache(maxsize=16)
def _plan(skeleton: Skeleton) -> _Plan:
    levels: list[_Level] = []
    for before, joints in pairwise(skeleton.levels):
        parents = tuple(before.index(skeleton.parents[joint]) for joint in joints)
        whole = len(before) == 1 or parents == tuple(range(len(before)))
        levels.append(_Level(_chosen(joints), None if whole else _chosen(parents)))
    rows = tuple(joint for row in zip(*skeleton.levels[1:], strict=False) for joint in row)
    if rows == tuple(range(1, skeleton.count)):
        return _Plan(tuple(levels), None)
    walked = [joint for joints in skeleton.levels for joint in joints]
    return _Plan(tuple(levels), tuple(walked.index(joint) for joint in range(skeleton.count)))


def _chosen(places: Sequence[int]) -> _Chosen:
    """Places as a slice where they are one: an index would be copied to the device in every call,
    and the host wait for it."""
    steps = {after - before for before, after in pairwise(places)} or {1}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        return slice(places[0], places[-1] + 1, step)
    return tuple(places)


def _take(values: Tensor, places: _Chosen) -> Tensor:
    """(B, J, ...) -> (B, n, ...)."""
    if isinstance(places, slice):
        return values[:, places]
    return torch.stack([values[:, place] for place in places], 1)


def _above(values: Tensor, level: _Level) -> Tensor:
    """What belongs to the parents of a level's joints, of values (B, n, ...) of the level before;
    (B, 1, ...) where all have the same."""
    return values if level.parents is None else _take(values, level.parents)


def _in_order(levels: list[Tensor], plan: _Plan) -> Tensor:
    """(B, n, ...) of each level -> (B, J, ...) in the order of the joints."""
    if plan.order is None:
        return torch.cat([levels[0], torch.stack(levels[1:], 2).flatten(1, 2)], 1)
    walked = [joint for level in levels for joint in level.unbind(1)]
    return torch.stack([walked[place] for place in plan.order], 1)
