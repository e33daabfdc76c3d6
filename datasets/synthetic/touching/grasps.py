"""Hands that hold something: it comes to rest in the palm or between fingertips, and the fingers
close until they touch it. All angles, distances and shares are ours (not published)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from datasets.poses.sampler import pose_modes
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.poses import (
    Candidate,
    PosedHands,
    full_intrinsics,
    is_good,
    pose_candidates,
    sample_candidate,
)
from datasets.synthetic.records import SampleSpecs
from datasets.synthetic.touching.limbs import Limb, Limbs
from datasets.synthetic.touching.measured import DEEPEST, touch_of
from datasets.synthetic.touching.moves import TOUCH, ClosedFingers, approached, close_fingers
from datasets.synthetic.touching.pairs import assembled, one_arm, square_view
from datasets.synthetic.touching.records import Interaction
from datasets.synthetic.touching.solids import Solid, gap, limb_gap
from datasets.synthetic.touching.things import BETWEEN_TIPS, IN_HAND, Thing, sample_thing
from fitter.contact import PosedObject
from fitter.conventions import MODEL_FINGERS
from fitter.hand_models.anatomy import FLEXION
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandParams

Rng = np.random.Generator
GRASP = 21
"""Third number of a generator's seed, beside those of `datasets.synthetic.specs`."""
KIND_ATTEMPTS, ATTEMPTS = 80, 400
"""Things and poses after which a sample may hold something in the other way, and after which it is
given up; about one in four is good."""
BETWEEN = 0.3
"""Share of things that are held between fingertips."""
FURTHEST = 0.2
"""Metres from which a thing comes to the palm."""
NEAREST = 0.12
"""Metres from the camera that a thing keeps."""
_MODES = {False: ("cylinder", "sphere", "platform", "relaxed"), True: ("pinch", "tripod")}
_OPEN = {False: 0.2, True: 0.55}
"""Share of a pose's flexion from which fingers close, around a thing and on one between tips."""
_THUMB = MODEL_FINGERS.index("thumb")


class GraspSampler:
    """Samples hands of an engine's people that hold something."""

    def __init__(self, engine: SyntheticEngine) -> None:
        self.engine, self.model = engine, engine.pose_model
        self.limbs = Limbs(engine.arms.model, self.model.frame)

    def sample(self, seed: int, index: int) -> Interaction:
        """Scene `index` of the data set `seed`.

        Raises:
            RuntimeError: no grasp was good in `ATTEMPTS` attempts.
        """
        base = self.engine.sample(seed, [index])
        chooser = np.random.default_rng([seed, index, GRASP])
        between = bool(chooser.random() < BETWEEN)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([seed, index, GRASP, attempt])
            # Some people's fingers do not meet around a thing between them.
            other = attempt >= KIND_ATTEMPTS and attempt % 2 == 0
            found = self._held(rng, base, between ^ other)
            if found is not None:
                return found
        raise RuntimeError(f"seed {seed}: no grasp was found for sample {index}")

    def _held(self, rng: Rng, base: SampleSpecs, between: bool) -> Interaction | None:
        thing = sample_thing(rng, str(rng.choice(list(BETWEEN_TIPS if between else IN_HAND))))
        mode = list(pose_modes()).index(str(rng.choice(_MODES[between])))
        candidate = sample_candidate(self.model, mode, self.engine.settings.view, rng)
        opened = candidate.angles.copy()
        opened[:, FLEXION] *= np.where(opened[:, FLEXION] > 0, _OPEN[between], 1.0)
        hands = pose_candidates(self.model, [replace(candidate, angles=opened)],
                                base.hand.betas.numpy())  # fmt: skip
        if not is_good(self.model, hands)[0] or self._own_depth(hands.params) > DEEPEST:
            return None
        limb = self.limbs.posed(hands.params, one_arm(base), False)
        axes = candidate.rotation @ self.model.frame.T
        posed = (_between if between else _in_palm)(rng, thing, limb, axes)
        if posed is None:
            return None
        body = Solid(posed.vertices, thing.mesh.faces)
        shut = self._closed(rng, hands.params, opened, body, between)
        if not _is_held(shut, between):
            return None
        pose = self.model.anatomy.hand_pose(torch.from_numpy(shut.angles)[None])
        params = replace(hands.params, hand_pose=pose)
        return self._checked(rng, base, replace(candidate, angles=shut.angles), params,
                             (thing, posed, body))  # fmt: skip

    def _closed(
        self, rng: Rng, params: HandParams, opened: np.ndarray, body: Solid, between: bool
    ) -> ClosedFingers:
        share = np.ones(len(MODEL_FINGERS))
        if between:
            # Those that do not hold it curl a little, or rest.
            share[1:4] = rng.uniform(0.0, 0.5)
            share *= 0.75
        fingers = self.limbs.fingers(params, self.model.anatomy, left=False)

        def is_held(shut: ClosedFingers) -> bool:
            return _is_held(shut, between)

        return close_fingers(opened, fingers, body, share, is_held)

    def _checked(
        self,
        rng: Rng,
        base: SampleSpecs,
        candidate: Candidate,
        params: HandParams,
        held: tuple[Thing, PosedObject, Solid],
    ) -> Interaction | None:
        """The scene, where it can be seen and nothing is inside anything."""
        thing, posed, body = held
        params = params.map(lambda value: value.round(decimals=9))
        hands = PosedHands(params, self.model.points(params), [candidate])
        if not is_good(self.model, hands)[0] or body.vertices[:, 2].min() < NEAREST:
            return None
        arm = one_arm(base)
        limb = self.limbs.posed(params, arm, False)
        deep = self._own_depth(params)
        if deep > DEEPEST or limb_gap(limb.whole, body) < -DEEPEST:
            return None
        touch = touch_of(limb.hand, body)
        if touch.penetration > DEEPEST or min(touch.vertices) == 0:
            return None
        _, keypoints = pose_keypoints(self.model.marked, params)
        view = square_view(rng, full_intrinsics([candidate]), keypoints, candidate.egocentric)
        specs = assembled(base, params, arm, view, None)
        specs = replace(specs, mode=torch.tensor([candidate.mode]))
        return Interaction(specs, thing.mesh.name, touch, (deep,), posed, thing)

    def _own_depth(self, params: HandParams) -> float:
        """Metres by which the hand is in itself."""
        vertices = self.limbs.vertices_of(params, left=False)
        return float(self.limbs.own_depths(vertices, left=False).max())


def _turned(rng: Rng, axis: np.ndarray, across: np.ndarray | None = None) -> np.ndarray:
    """(3, 3) rotation of a thing whose z becomes `axis`, and whose x lies near `across`."""
    axis = axis / np.linalg.norm(axis)
    x = rng.normal(0, 1, 3) if across is None else across
    x = x - (x @ axis) * axis
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x), axis], axis=1)


def _in_palm(rng: Rng, thing: Thing, limb: Limb, axes: np.ndarray) -> PosedObject | None:
    """A thing that has come to the palm; `axes` (3, 3) columns: radial, forward, palmar."""
    radial, forward, palmar = axes.T
    points = limb.points
    axis = radial * rng.choice([-1.0, 1.0]) + rng.normal(0, 0.16, 3)
    # Flat things lie in the palm, or stand between palm and fingers.
    turned = rng.random() < 0.5
    rotation = _turned(rng, axis, palmar if turned else None)
    place = 0.22 * points[0] + 0.78 * points[[1, 4, 10, 7]].mean(axis=0)
    place = place + rng.normal(0, 0.008) * forward + rng.normal(0, 0.008) * radial
    direction = palmar + rng.uniform(-0.1, 0.35) * forward
    direction /= np.linalg.norm(direction)
    start = Solid(thing.mesh.vertices @ rotation.T + place, thing.mesh.faces)
    along = approached(limb.whole, start, direction, FURTHEST)
    if along is None:
        return None
    return PosedObject(thing.mesh, rotation, (place + along * direction).round(9))


def _between(rng: Rng, thing: Thing, limb: Limb, axes: np.ndarray) -> PosedObject | None:
    """A thing between the tips of thumb and index finger, which do not touch it yet."""
    thumb, index = limb.points[16], limb.points[17]
    line = index - thumb
    away = 0.5 * (thumb + index) - limb.points[0]
    axis = np.cross(line, rng.normal(0, 1, 3)) + 0.3 * rng.normal(0, 1, 3) * np.linalg.norm(line)
    if thing.mesh.name == "card":
        axis = axis + away / np.linalg.norm(away) * np.linalg.norm(axis)
    rotation = _turned(rng, axis, line)
    place = thumb + rng.uniform(0.4, 0.6) * line
    place = place + rng.uniform(-0.004, 0.004) * away / np.linalg.norm(away)
    posed = PosedObject(thing.mesh, rotation, place.round(9))
    if gap(limb.whole, Solid(posed.vertices, thing.mesh.faces)) < TOUCH:
        return None
    return posed


def _is_held(shut: ClosedFingers, between: bool) -> bool:
    """The thumb and a finger hold it, or three fingers do."""
    others = np.delete(shut.touching, _THUMB)
    if between:
        return bool(shut.touching[_THUMB] and shut.touching[0])
    return bool(others.sum() >= 3 or (shut.touching[_THUMB] and others.sum() >= 2))
