"""Two hands of one person that touch: sampled, moved together, closed, and checked.

Whatever decides about scene i comes from generators seeded by (seed, i, attempt) alone, and each
scene is worked out by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datasets.poses.finger_contact import overlap
from datasets.poses.sampler import pose_modes, sample_mode_angles
from datasets.synthetic.arms import BARE
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.poses import (
    FULL_HEIGHT,
    FULL_WIDTH,
    boxes_around,
    is_in_the_way,
)
from datasets.synthetic.records import ArmSpec, SampleSpecs, ViewpointSpec
from datasets.synthetic.rigs import moved_hand
from datasets.synthetic.touching.arrangements import KINDS, Arrangement, Held, place_of
from datasets.synthetic.touching.limbs import Limb, Limbs
from datasets.synthetic.touching.measured import DEEPEST, touch_of
from datasets.synthetic.touching.moves import approached, close_fingers
from datasets.synthetic.touching.records import Interaction, Touch
from datasets.synthetic.touching.solids import Solid, limb_gap
from datasets.synthetic.touching.views import Camera, sample_camera
from fitter.camera import project
from fitter.conventions import MODEL_FINGERS
from fitter.hand_models.anatomy import ABDUCTION, FLEXION, finger_joints, joint_limits
from fitter.records import HandParams
from fitter.rotations import roma

Rng = np.random.Generator
PAIR = 20
"""Third number of a generator's seed, beside those of `datasets.synthetic.specs`."""
KIND_ATTEMPTS, ATTEMPTS = 60, 300
"""Arrangements after which a pair may be of another kind, and after which it is given up; about one
in three is good."""
TRIES = 2
"""Of interlaced fingers, places from which they are pushed together; the deepest is kept."""
FURTHEST = 0.28
"""Metres between the hands' middles before they approach each other."""
NEAREST = 0.16
"""Metres from the camera that every vertex of a hand keeps."""
LIMB_OVERLAP = 0.001
"""Metres by which the spheres of a hand may reach into each other beyond what flesh allows."""


@dataclass(frozen=True)
class _Hand:
    """One hand on its way: its parameters in the owner's directions (mirrored for a left one), the
    angles (15, 3) that they are of."""

    angles: np.ndarray
    params: HandParams
    left: bool


class PairSampler:
    """Samples pairs of touching hands of an engine's people."""

    def __init__(self, engine: SyntheticEngine) -> None:
        self.engine, self.model = engine, engine.pose_model
        self.limbs = Limbs(engine.arms.model, self.model.frame)

    def sample(self, seed: int, index: int) -> Interaction:
        """Scene `index` of the data set `seed`.

        Raises:
            RuntimeError: no arrangement was good in `ATTEMPTS` attempts.
        """
        base = self.engine.sample(seed, [index])
        chooser = np.random.default_rng([seed, index, PAIR])
        kind = _kind(chooser)
        arms = _arms(base)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([seed, index, PAIR, attempt])
            if attempt >= KIND_ATTEMPTS:
                kind = _kind(rng)
            arrangement = KINDS[kind][1](rng)
            hands = self._touching(rng, arrangement, base.hand.betas, arms)
            if hands is None:
                continue
            found = self._seen(rng, arrangement, hands, base, arms)
            if found is not None:
                return Interaction(found[0], kind, *found[1:])
        raise RuntimeError(f"seed {seed}: no pair was found for sample {index}")

    # ---- Hands together

    def _touching(
        self, rng: Rng, arrangement: Arrangement, betas: Tensor, arms: tuple[ArmSpec, ArmSpec]
    ) -> tuple[_Hand, _Hand] | None:
        """Right and left hand in touch, or None where that arrangement has none."""
        right, left = (
            self._held(rng, held, betas, is_left)
            for held, is_left in ((arrangement.right, False), (arrangement.left, True))
        )
        if not all(self._is_natural(hand) for hand in (right, left)):
            return None
        fixed, moving = self._posed(right, arms), self._posed(left, arms)
        best: np.ndarray | None = None
        for _ in range(TRIES if arrangement.interlaced else 1):
            jitter = rng.normal(0, 0.003, 3) if arrangement.interlaced else np.zeros(3)
            shift = _together(fixed, moving, arrangement, jitter)
            if shift is not None and (best is None or _depth(shift, arrangement) <
                                      _depth(best, arrangement)):  # fmt: skip
                best = shift
        if best is None:
            return None
        left = replace(left, params=replace(left.params, transl=left.params.transl +
                       torch.from_numpy(best * [-1.0, 1.0, 1.0])))  # fmt: skip
        pair = [right, left]
        for is_left in arrangement.closing:
            other = self._posed(pair[not is_left], arms)
            pair[is_left] = self._closed(rng, pair[is_left], other, arrangement.furthest)
            if not self._is_natural(pair[is_left]):
                return None
        return pair[0], pair[1]

    def _held(self, rng: Rng, held: Held, betas: Tensor, left: bool) -> _Hand:
        angles = _angles(rng, str(rng.choice(held.modes)))
        forward, palm = (held.frame * ([[-1], [1], [1]] if left else 1)).T
        columns = np.stack([np.cross(forward, palm), forward, palm], axis=1)
        rotation = torch.from_numpy(columns @ self.model.frame)[None]
        zero = torch.zeros(1, 3, dtype=torch.float64)
        params = HandParams(roma.rotmat_to_rotvec(rotation), zero, betas, zero)
        return self._with_angles(_Hand(angles, params, left), angles)

    def _with_angles(self, hand: _Hand, angles: np.ndarray) -> _Hand:
        pose = self.model.anatomy.hand_pose(torch.from_numpy(angles)[None])
        return replace(hand, angles=angles, params=replace(hand.params, hand_pose=pose))

    def _posed(self, hand: _Hand, arms: tuple[ArmSpec, ArmSpec]) -> Limb:
        return self.limbs.posed(hand.params, arms[hand.left], hand.left)

    def _is_natural(self, hand: _Hand) -> bool:
        """No finger passes through another or through the palm, by spheres and by the skin."""
        points = self.model.points(hand.params)
        size = float(self.model.size(hand.params.betas)[0])
        if overlap(points / size) >= LIMB_OVERLAP:
            return False
        vertices = self.limbs.vertices_of(hand.params, hand.left)
        return bool(self.limbs.own_depths(vertices, hand.left).max() <= DEEPEST)

    def _closed(self, rng: Rng, hand: _Hand, other: Limb, furthest: float) -> _Hand:
        """The hand with its fingers closed on the other."""
        share = furthest * rng.uniform(0.35, 1.0) * rng.uniform(0.8, 1.0, len(MODEL_FINGERS))
        fingers = self.limbs.fingers(hand.params, self.model.anatomy, hand.left)
        found = close_fingers(hand.angles, fingers, other.whole, share)
        return self._with_angles(hand, found.angles)

    # ---- Seen by a camera

    def _seen(
        self,
        rng: Rng,
        arrangement: Arrangement,
        hands: tuple[_Hand, _Hand],
        base: SampleSpecs,
        arms: tuple[ArmSpec, ArmSpec],
    ) -> tuple[SampleSpecs, Touch, tuple[float, ...]] | None:
        """The specs in the frame of a camera that sees both hands, how they touch, and how deep
        each is in itself."""
        limbs = [self._posed(hand, arms) for hand in hands]
        if limb_gap(limbs[0].whole, limbs[1].whole) < -DEEPEST:
            return None
        touch = touch_of(limbs[0].hand, limbs[1].hand)
        if touch.penetration > DEEPEST or min(touch.vertices) == 0:
            return None
        points = np.concatenate([limb.keypoints for limb in limbs])
        middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
        for _ in range(6):
            camera = sample_camera(rng, self.engine.settings.view, arrangement.hidden_along)
            shift = camera.place - camera.rotation @ middle
            shown = [limb.whole.moved(camera.rotation, shift) for limb in limbs]
            if all(_is_in_view(limb, self.limbs.vertices) for limb in shown):
                break
        else:
            return None
        own = [self._in_camera(hand, camera, shift) for hand in hands]
        keypoints = torch.from_numpy(points @ camera.rotation.T + shift)[None]
        view = square_view(rng, full_camera(camera.field_of_view), keypoints, camera.egocentric)
        specs = assembled(base, own[0], arms[0], view, (own[1], arms[1]))
        deep = (self.limbs.own_depths(limb.hand.vertices[None], hand.left)
                for limb, hand in zip(limbs, hands, strict=True))  # fmt: skip
        return specs, touch, tuple(float(each.max()) for each in deep)

    def _in_camera(self, hand: _Hand, camera: Camera, shift: np.ndarray) -> HandParams:
        flip = np.diag([-1.0, 1.0, 1.0]) if hand.left else np.eye(3)
        rotation = torch.from_numpy(flip @ camera.rotation @ flip)[None]
        return moved_hand(
            hand.params, rotation, torch.from_numpy(flip @ shift)[None], self.limbs.arms.model
        )


def _kind(rng: Rng) -> str:
    """A key of `KINDS`, by its share."""
    shares = np.array([share for share, _ in KINDS.values()])
    return str(rng.choice(list(KINDS), p=shares / shares.sum()))


def one_arm(base: SampleSpecs) -> ArmSpec:
    """The arm of a sample, bent less, its sleeve off the hand."""
    own = base.arm
    cuff = torch.where(own.cuff > BARE, own.cuff, own.cuff.clamp_min(0.03))
    return replace(own, cuff=cuff, bend=own.bend * 0.7, deviation=own.deviation * 0.7)


def _arms(base: SampleSpecs) -> tuple[ArmSpec, ArmSpec]:
    """Arms of right and left hand: one person's, who wears the same sleeves on both."""
    own, other = one_arm(base), base.second.arm
    return own, replace(own, folds=other.folds, bend=other.bend * 0.7,
                        deviation=other.deviation * 0.7)  # fmt: skip


def _angles(rng: Rng, mode: str) -> np.ndarray:
    """(15, 3) of a mode; "spread" are straight fingers as far apart as they go."""
    if mode != "spread":
        return sample_mode_angles(rng, mode, 1)[0]
    angles = sample_mode_angles(rng, "open", 1)[0]
    lower, upper = joint_limits()
    for name in MODEL_FINGERS:
        if name != "thumb":
            rows = finger_joints(name)
            angles[rows, FLEXION] = np.clip(rng.normal(0.06, 0.06, 3), 0, None)
            spread = {"index": 0.75, "middle": 0.0, "ring": 0.75, "little": 0.9}[name]
            angles[rows.start, ABDUCTION] = spread * upper[rows.start, ABDUCTION]
    return angles.clip(lower, upper)


def _together(
    fixed: Limb, moving: Limb, arrangement: Arrangement, jitter: np.ndarray
) -> np.ndarray | None:
    """(3,) by which the left hand is moved when it touches the right one."""
    right, left = arrangement.right, arrangement.left
    places = [
        place_of(held.anchor, limb.points, held.frame[:, 1])
        for held, limb in ((right, fixed), (left, moving))
    ]
    direction = arrangement.direction / np.linalg.norm(arrangement.direction)
    aim = places[0] - places[1] + arrangement.offset + jitter
    start = moving.whole.moved(np.eye(3), aim)
    along = approached(fixed.whole, start, direction, FURTHEST)
    return None if along is None else aim + along * direction


def _depth(shift: np.ndarray, arrangement: Arrangement) -> float:
    return float(shift @ arrangement.direction)


def _is_in_view(limb: Solid, hand: int) -> bool:
    """Not too near the camera, and with the arm behind or beside the hand."""
    vertices = limb.vertices
    if vertices[:hand, 2].min() < NEAREST:
        return False
    middle = 0.5 * (vertices[:hand].min(axis=0) + vertices[:hand].max(axis=0))
    arm = torch.from_numpy(vertices[hand:])[None]
    return not bool(is_in_the_way(arm, torch.from_numpy(middle)[None])[0])


def square_view(rng: Rng, K: Tensor, keypoints: Tensor, egocentric: bool) -> ViewpointSpec:
    """A square around keypoints (1, N, 3) in a camera's full image, whose K is (1, 3, 3)."""
    side_share = np.exp(rng.uniform(np.log(1.25), np.log(1.9)))
    jitter = np.array([[side_share, *rng.uniform(-0.8, 0.8, 2)]])
    centre, side = boxes_around(project(keypoints, K), jitter)
    return ViewpointSpec(K, centre, side, torch.tensor([egocentric]))


def full_camera(field_of_view: float) -> Tensor:
    """(1, 3, 3) K of the full image."""
    focal = FULL_WIDTH / 2 / np.tan(field_of_view / 2)
    rows = [[focal, 0, FULL_WIDTH / 2], [0, focal, FULL_HEIGHT / 2], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)[None]


def assembled(
    base: SampleSpecs,
    hand: HandParams,
    arm: ArmSpec,
    view: ViewpointSpec,
    second: tuple[HandParams, ArmSpec] | None,
) -> SampleSpecs:
    """The appearance of a sample with other hands, in another view, without things."""
    none = torch.zeros_like(base.objects.present)
    other, other_arm = second if second is not None else (base.second.hand, base.second.arm)
    there = torch.tensor([second is not None])
    return replace(
        base,
        mode=torch.tensor([list(pose_modes()).index("gesture")]),
        hand=_rounded(hand),
        arm=arm,
        view=view.map(lambda v: v.round(decimals=9) if v.is_floating_point() else v),
        objects=replace(base.objects, present=none),
        second=replace(
            base.second,
            present=there,
            left=there,
            hand=_rounded(other),
            arm=other_arm,
            skin=base.skin,
            glove=base.glove,
        ),
    )


def _rounded(hand: HandParams) -> HandParams:
    return hand.map(lambda value: value.round(decimals=9))
