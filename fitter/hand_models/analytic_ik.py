"""Inverse kinematics: 21 keypoints to the parameters of any hand model, by twist and swing.

What gives keypoints, such as a network, thereby starts any hand model. The method is that of
Yu et al., "Overcoming the Trade-off Between Accuracy and Plausibility in 3D Hand Shape
Reconstruction", section 3.3, theta = f(phi, J), whose formulas are those of Li et al., "HybrIK",
CVPR 2021 (not re-checked against that paper). Each joint's rotation relative to its parent is

    R = swing twist(phi)

    twist   a rotation by phi about the bone at rest. Keypoints hardly show it: it is given or zero.
    swing   the least rotation that takes the bone at rest to where the keypoints see it from the
            parent; its axis is at right angles to the bone.

A joint's bone leads to the next joint of its finger, and from the last joint to the keypoint of the
tip. It is seen from where the joint comes to lie, not from where its keypoint was, so that errors
do not add up along the finger: HybrIK's adaptive variant, which on the open hand was better at any
noise tried, 2 to 8 mm. The wrist's rotation is that of the palm, which is the wrist and the bases
of the four fingers (Procrustes), and no twist is left to choose. The thumb's base moves with the
palm too, but no two detectors agree on where it is.

Keypoints are not joints: they lie beside them by the model's `keypoint_offsets`, and a fingertip
follows more bones than one. How far a keypoint lies beside the skeleton depends on the pose, so the
pose is found in rounds: each takes off the keypoints what the pose of the round before has put
between them and the skeleton. On the open hand a round leaves about a quarter of the error.

Metacarpals stay at rest in models that have joints at their bases: the palm is taken as rigid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from fitter.conventions import BONES, MODEL_TO_KEYPOINTS
from fitter.hand_models.keypoint_jacobian import by_finger, in_canonical_order
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.hand_models.skeleton import MANO_SKELETON
from fitter.records import HandParams
from fitter.rotations import roma

ROUNDS = 8
"""How often the pose is found: enough for two micrometres on the open hand."""

LENGTH_NOISE = 2e-3
"""Standard deviation in metres of an observed length, beside the one of 1 of a shape coefficient.
It says how far lengths are believed where the shape is estimated. Of 0.3, 1, 2, 4 and 8 mm this one
was best or within 0.1 mm of it in the open hand's vertices, at noise of 2, 5 and 8 mm in its
keypoints alike."""

LARGEST = 1e6
"""Coordinate, in the unit of the keypoints, from which on a hand counts as not finite: powers of it
would soon not be."""

_SHORTEST = 1e-6
"""Length in metres below which a bone has no direction."""

_PALM = (0, 5, 9, 13, 17)
_RIGID = tuple(
    [(a, b) for place, a in enumerate(_PALM) for b in _PALM[place + 1 :]]
    + [bone for bone in BONES if bone[0] != 0]
)
"""Pairs of keypoints whose distance no pose changes: within the palm, and along a finger."""


def inverse_kinematics(
    model: KeypointModel,
    keypoints: Tensor,
    betas: Tensor | None = None,
    twist: Tensor | None = None,
    *,
    up_to_scale: bool = False,
    length_noise: float = LENGTH_NOISE,
) -> HandParams:
    """Parameters of B right hands whose keypoints come to lie where they were seen.

    Exact for keypoints of the model itself if their shape and twist are given. Differentiable in
    all tensors; a bone that has no length, or points straight backwards, has a gradient of zero:
    the one keeps its direction at rest, the other is rotated by pi about some axis.

    Args:
        model: `HandModel.keypoint_model()` or `FitModel.keypoints`, of a right hand.
        keypoints: (B, 21, 3) canonical order, metres, in any frame, such as a camera's or one
            whose origin is the wrist. A left hand is mirrored by the caller.
        betas: (B, n) shape coefficients; None: all of the model's, estimated from bone lengths.
        twist: (B, 15) radians of the finger joints in MANO's order, whatever the model's skeleton,
            see `twist_angles`; None: zero.
        up_to_scale: the unit of `keypoints` is unknown, and they are scaled to a hand of the
            given shape, or of about the mean size; `transl` belongs to the scaled ones.
        length_noise: see `LENGTH_NOISE`; less for keypoints that are nearly exact.

    Returns:
        Parameters in the frame, dtype and device of `keypoints`. A hand with a value that is not
        finite, or not below `LARGEST`, has NaN for them and a gradient of zero.

    Raises:
        ValueError: a tensor has the wrong shape.

    Example:
        ```python
        import torch
        from fitter.hand_models import inverse_kinematics, load_hand_model
        from fitter.records import HandParams

        hand = load_hand_model()
        params = HandParams(*(0.2 * torch.randn(2, *size) for size in [(3,), (15, 3), (10,), (3,)]))
        keypoints = hand(params).keypoints  # (2, 21, 3) metres: what a network would say
        found = inverse_kinematics(hand.keypoint_model(), keypoints)
        again = hand(found).keypoints
        assert (again - keypoints).norm(dim=-1).mean() < 2e-3
        ```
    """
    usable = _usable(keypoints, betas, twist)
    model = model.to(keypoints.device, keypoints.dtype)
    rest = _RestSkeleton.of(model)
    # What is not usable is computed as a hand at rest: a NaN would come back in gradients.
    keypoints = _where(usable, keypoints, rest.template)
    betas = None if betas is None else _where(usable, betas, 0.0)
    twist = keypoints.new_zeros(len(keypoints), 15) if twist is None else _where(usable, twist, 0.0)
    # About the wrist, because far from the origin float32 has fewer digits for the hand.
    wrist = keypoints[:, :1]
    problem = _Problem(model, rest, keypoints - wrist, betas, twist, length_noise)
    params, scale = problem.solve(up_to_scale)
    params = replace(params, transl=params.transl + (scale * wrist)[:, 0])
    return params.map(lambda tensor: _where(usable, tensor, torch.nan))


def twist_angles(model: KeypointModel, params: HandParams) -> Tensor:
    """The angles by which the joints of given poses are rotated about their bones.

    With the keypoints, and these angles for `twist`, `inverse_kinematics` gives the poses back.
    They are the phi of Yu et al. that their eq. 4 trains a network on.

    Args:
        model: as for `inverse_kinematics`.
        params: B hands, in the model's dtype.

    Returns:
        (B, 15) radians in [-pi, pi], finger joints in MANO's order; zero, with a gradient of zero,
        for a swing by pi, beside which a twist means nothing.

    Raises:
        ValueError: `betas` has more components than the model.
    """
    points = by_finger(_RestSkeleton.of(model).shaped(params.betas))
    bones = _unit(torch.diff(points[:, :, 1:], dim=2).flatten(1, 2))
    quaternion = roma.rotvec_to_unitquat(params.hand_pose[:, list(model.skeleton.finger_rows)])
    # A swing's axis is at right angles to the bone, so (sine, cosine) of the half twist is this,
    # up to a factor that belongs to the swing.
    sine, cosine = (quaternion[..., :3] * bones).sum(-1), quaternion[..., 3]
    sine, cosine = torch.where(cosine < 0, -sine, sine), cosine.abs()
    undefined = sine.square() + cosine.square() < torch.finfo(sine.dtype).eps
    return 2 * torch.atan2(torch.where(undefined, 0.0, sine), torch.where(undefined, 1.0, cosine))


class _RestSkeleton(NamedTuple):
    """Rest positions in the order of the 21 keypoints: of the joints, without offsets, and of the
    tips' keypoints, as if each followed the last joint of its finger alone.

    Attributes:
        template: (21, 3) metres, mean shape.
        shapedirs: (21, 3, S) change for each unit of a shape coefficient.
    """

    template: Tensor
    shapedirs: Tensor

    @classmethod
    def of(cls, model: KeypointModel) -> Self:
        joints = model.skeleton.mano_joints
        at_rest = (model.joint_template, model.joint_shapedirs), model.rest_keypoints()

        def placed(of_joints: Tensor, of_keypoints: Tensor) -> Tensor:
            sources = enumerate(MODEL_TO_KEYPOINTS)
            points = [of_joints[joints[s]] if s < 16 else of_keypoints[k] for k, s in sources]
            return torch.stack(points)

        return cls(*(placed(*pair) for pair in zip(*at_rest, strict=True)))

    def shaped(self, betas: Tensor) -> Tensor:
        """(B, 21, 3) for shapes (B, n), n at most S."""
        count, available = betas.shape[-1], self.shapedirs.shape[-1]
        if count > available:
            raise ValueError(f"expected at most {available} betas, got {count}")
        basis = self.shapedirs[..., :count].flatten(0, 1)
        return self.template + (betas @ basis.mT).unflatten(1, (21, 3))


class _Problem(NamedTuple):
    """B hands without NaN, the wrist at the origin; fields as in `inverse_kinematics`."""

    model: KeypointModel
    rest: _RestSkeleton
    seen: Tensor
    betas: Tensor | None
    twist: Tensor
    length_noise: float

    def solve(self, up_to_scale: bool) -> tuple[HandParams, Tensor]:
        """Parameters, about the origin of `seen`, and the scale (B, 1, 1) that makes it metres."""
        seen, rest = self.seen, self.rest
        scale = seen.new_ones(len(seen), 1, 1)
        if up_to_scale:
            # To the order of a metre, so that what counts as no length does not depend on the unit.
            largest = seen.detach().abs().amax((1, 2), keepdim=True)
            scale = 1 / torch.where(largest > 0, largest, 1.0)
        shape = self.betas
        if shape is None:
            shape = seen.new_zeros(len(seen), rest.shapedirs.shape[-1])
        sized, beside = rest.shaped(shape), torch.zeros_like(seen)
        for number in range(ROUNDS):
            if up_to_scale:
                ratio = _size_ratio(sized, scale * seen - beside)
                # Where all lengths are zero, what lies beside the skeleton would pass for the hand.
                scale = scale * (ratio if number == 0 else ratio.clamp(0.5, 2.0))
            points = scale * seen - beside
            if self.betas is None:
                shape = _estimate_shape(rest, points, shape, self.length_noise)
            params, skeleton = _swing_chain(rest.shaped(shape), points, self.twist, shape)
            params = self._on_skeleton(params)
            if number < ROUNDS - 1:
                beside = pose_keypoints(self.model, params)[1] - skeleton
        return params, scale

    def _on_skeleton(self, params: HandParams) -> HandParams:
        """Poses of MANO's joints as those of the model, its metacarpals at rest."""
        skeleton = self.model.skeleton
        if skeleton == MANO_SKELETON:
            return params
        found = dict(zip(skeleton.finger_rows, params.hand_pose.unbind(1), strict=True))
        still = torch.zeros_like(params.global_orient)
        pose = [found.get(row, still) for row in range(skeleton.rotations)]
        return replace(params, hand_pose=torch.stack(pose, 1))


def _where(usable: Tensor, tensor: Tensor, otherwise: Tensor | float) -> Tensor:
    """The tensor (B, ...) for the hands that are `usable` (B,), something else for the others."""
    return torch.where(usable.view(-1, *[1] * (tensor.ndim - 1)), tensor, otherwise)


def _usable(keypoints: Tensor, betas: Tensor | None, twist: Tensor | None) -> Tensor:
    """(B,) bool: hands whose values are all finite and below `LARGEST`; checks the shapes."""
    every = {"keypoints": keypoints, "betas": betas, "twist": twist}
    given = {name: tensor for name, tensor in every.items() if tensor is not None}
    batch = len(keypoints)
    for name, shape in {"keypoints": (21, 3), "betas": (-1,), "twist": (15,)}.items():
        found = given[name].shape if name in given else (batch, *shape)
        wanted = (batch, *(found[-1] if size < 0 else size for size in shape))
        if found != wanted:
            raise ValueError(f"expected {name} of shape {wanted}, got {tuple(found)}")
    within = [tensor.detach().abs() < LARGEST for tensor in given.values()]
    return torch.stack([tensor.flatten(1).all(-1) for tensor in within]).all(0)


def _rigid_vectors(points: Tensor) -> Tensor:
    """(B, P, 3) vectors between the pairs of `_RIGID` among points (B, 21, 3)."""
    first, second = torch.tensor(_RIGID, device=points.device).unbind(-1)
    return points[:, second] - points[:, first]


def _lengths(vectors: Tensor) -> Tensor:
    """(...) lengths of vectors (..., 3) in metres; zero, without a gradient, for the shortest."""
    squared = vectors.square().sum(-1)
    short = squared < _SHORTEST**2
    return torch.where(short, 0.0, torch.where(short, 1.0, squared).sqrt())


def _size_ratio(rest: Tensor, points: Tensor) -> Tensor:
    """(B, 1, 1) by how much points (B, 21, 3) are to be scaled to have the lengths of `rest`, in
    the least-squares sense; one where they have none."""
    wanted, found = _lengths(_rigid_vectors(rest)), _lengths(_rigid_vectors(points))
    squared = found.square().sum(-1)
    ratio = (wanted * found).sum(-1) / torch.where(squared > 0, squared, 1.0)
    return torch.where(squared > 0, ratio, 1.0)[:, None, None]


def _estimate_shape(
    rest: _RestSkeleton, points: Tensor, betas: Tensor, length_noise: float
) -> Tensor:
    """One Gauss-Newton step from shapes (B, S) toward the most likely ones, given the lengths.

    It minimises ``sum (|bone(betas)| - length)^2 / noise^2 + |betas|^2`` over the rigid pairs of
    the points (B, 21, 3), with the bones' lengths linear about `betas`.
    """
    bones, observed = _rigid_vectors(rest.shaped(betas)), _lengths(_rigid_vectors(points))
    moved = _rigid_vectors(rest.shapedirs.movedim(-1, 0))
    slopes = torch.einsum("bpc,spc->bps", _unit(bones), moved)
    wanted = observed - _lengths(bones) + (slopes @ betas[..., None])[..., 0]
    # Size changes all lengths alike and swamps the other components, which float32 then lacks
    # digits for where lengths are believed closely.
    slopes, wanted = slopes.double() / length_noise, wanted.double() / length_noise
    identity = torch.eye(betas.shape[-1], dtype=slopes.dtype, device=slopes.device)
    normal = slopes.mT @ slopes + identity
    return torch.linalg.solve(normal, (slopes.mT @ wanted[..., None])[..., 0]).to(betas)


def _swing_chain(
    rest: Tensor, points: Tensor, twist: Tensor, betas: Tensor
) -> tuple[HandParams, Tensor]:
    """Rotate skeletons at rest (B, 21, 3) onto points (B, 21, 3), joint after joint.

    Args:
        rest: metres, see `_RestSkeleton`.
        points: metres, where the skeleton's points are to lie.
        twist: (B, 15) radians.
        betas: (B, n), handed on.

    Returns:
        The parameters, and (B, 21, 3) where the skeleton's points come to lie.
    """
    rotation, palm = _place_palm(rest, points)
    bones = torch.diff(by_finger(rest)[:, :, 1:], dim=2)
    position, targets = by_finger(palm)[:, :, 1], by_finger(points)[:, :, 2:]
    root = roma.rotmat_to_unitquat(rotation)
    orientation = root[:, None].expand(-1, 5, -1)
    rotations, chain = [], [by_finger(palm)[:, :, 0], position]
    for level, angle in enumerate(twist.unflatten(1, (5, 3)).unbind(2)):
        bone, aim = bones[:, :, level], targets[:, :, level] - position
        aim = roma.quat_action(roma.quat_conjugation(orientation), aim, is_normalized=True)
        rotations.append(roma.quat_product(_swing(bone, aim), _twist(bone, angle)))
        orientation = roma.quat_product(orientation, rotations[-1])
        position = position + roma.quat_action(orientation, bone, is_normalized=True)
        chain.append(position)
    params = HandParams(
        global_orient=roma.unitquat_to_rotvec(root),
        hand_pose=roma.unitquat_to_rotvec(torch.stack(rotations, 2).flatten(1, 2)),
        betas=betas,
        transl=palm[:, 0] - rest[:, 0],
    )
    return params, in_canonical_order(torch.stack(chain, 2))


def _place_palm(rest: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) the rotation that lays the palm at rest onto the palm among the points, and
    (B, 21, 3) where the hand at rest then lies: least squares (Kabsch 1976)."""
    own, target = (torch.stack([x[:, index] for index in _PALM], 1) for x in (rest, points))
    own_middle, middle = own.mean(1, keepdim=True), target.mean(1, keepdim=True)
    own, target = own - own_middle, target - middle
    # Without a unit and at most one: roma damps the gradient as x / (x^2 + eps^2) with an eps of
    # 1e-5, which is lost beside large numbers. The palm at rest is the least unit, so that tiny
    # palms stay damped. No rotation depends on the scale, which has no gradient therefore.
    size, seen = (x.detach().square().sum((1, 2)) for x in (own, target))
    covariance = target.mT @ own / (size * torch.maximum(size, seen)).sqrt()[:, None, None]
    rotation = roma.special_procrustes(covariance)
    return rotation, (rest - own_middle) @ rotation.mT + middle


def _unit(vectors: Tensor, otherwise: Tensor | None = None) -> Tensor:
    """Unit vectors of (..., 3) metres; for those without a direction `otherwise`, or x."""
    lengths = _lengths(vectors)[..., None]
    otherwise = vectors.new_tensor([1.0, 0.0, 0.0]) if otherwise is None else otherwise
    return torch.where(lengths > 0, vectors / torch.where(lengths > 0, lengths, 1.0), otherwise)


def _twist(bone: Tensor, angle: Tensor) -> Tensor:
    """(..., 4) unit quaternions of rotations by angles (...) about bones (..., 3)."""
    half = angle[..., None] / 2
    return torch.cat([half.sin() * _unit(bone), half.cos()], -1)


def _swing(bone: Tensor, aim: Tensor) -> Tensor:
    """(..., 4) unit quaternions of the least rotations from bones (..., 3) to aims (..., 3).

    With the unit vector h half way between them this is (bone x h, bone . h).
    """
    bone = _unit(bone)
    between = bone + _unit(aim, otherwise=bone)
    squared = between.square().sum(-1, keepdim=True)
    opposite = squared < torch.finfo(squared.dtype).eps
    half = between / torch.where(opposite, 1.0, squared).sqrt()
    swing = torch.cat([torch.linalg.cross(bone, half), (bone * half).sum(-1, keepdim=True)], -1)
    # Any axis at right angles will do; that of the coordinate in which the bone is shortest is
    # never parallel to it.
    coordinate = one_hot(bone.detach().abs().argmin(-1), 3).to(bone)
    axis = _unit(torch.linalg.cross(bone.detach(), coordinate))
    return torch.where(opposite, pad(axis, (0, 1)), swing)
