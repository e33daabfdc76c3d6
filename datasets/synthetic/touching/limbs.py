"""Hands with their arms as closed bodies, and how deep a hand is in itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from datasets.synthetic.arms import AROUND, BARE, RINGS, SLEEVE_RINGS, ArmBuilder, strip
from datasets.synthetic.records import ArmSpec
from datasets.synthetic.touching.measured import DEEPEST
from datasets.synthetic.touching.moves import Fingers
from datasets.synthetic.touching.solids import Solid
from fitter.contact import Surface, closed, self_contacts
from fitter.conventions import MODEL_FINGERS
from fitter.hand_models import HandModel
from fitter.hand_models.anatomy import Anatomy, finger_joints
from fitter.hand_models.hand_parts import hand_parts
from fitter.records import HandParams

FLIP = np.array([-1.0, 1.0, 1.0])
"""Of a mirrored hand."""


@dataclass(frozen=True)
class Limb:
    """A posed hand with its arm.

    Attributes:
        hand: the hand model's surface, closed at the wrist.
        whole: with forearm and sleeve, each closed.
        points: (21, 3) joints and tips, as `finger_contact` takes them.
        keypoints: (21, 3) canonical.
    """

    hand: Solid
    whole: Solid
    points: np.ndarray
    keypoints: np.ndarray


class Limbs:
    """Poses hands with arms as closed bodies.

    Attributes:
        arms: poses them.
        faces: (F, 3) of the hand; vertices: their number V.
        finger: (V,) row of `MODEL_FINGERS` of every vertex of the hand, -1 of the palm's.
        finger_faces: those faces all of whose corners are one finger's.
    """

    def __init__(self, model: HandModel, frame: np.ndarray) -> None:
        """Prepare on the CPU; see `ArmBuilder`."""
        self.arms = ArmBuilder(model, frame, "cpu")
        model = self.arms.model
        data, loop = model.data, self.arms.loop.numpy()
        self.faces = data.faces.astype(np.int64)
        self.vertices = len(data.v_template)
        forearm = np.vstack([loop, self.vertices + np.arange(RINGS * len(loop)).reshape(RINGS, -1)])
        first = self.vertices + RINGS * len(loop)
        sleeve = first + np.arange(SLEEVE_RINGS * AROUND).reshape(SLEEVE_RINGS, AROUND)
        self._bare = np.concatenate([self.faces, _closed_tube(forearm)])
        self._dressed = np.concatenate([self._bare, _closed_tube(sleeve)])
        moved_by = model.skin_weights.numpy()[:, list(model.skeleton.mano_joints)]
        joint = moved_by.argmax(axis=1)
        self.finger = np.full(len(joint), -1)
        for row, name in enumerate(MODEL_FINGERS):
            own = finger_joints(name)
            self.finger[(joint > own.start) & (joint <= own.stop)] = row
        corners = self.finger[self.faces]
        whole = (corners >= 0).all(axis=1) & (corners == corners[:, :1]).all(axis=1)
        self.finger_faces = self.faces[whole]
        self._skin, self._parts = closed(model.faces, self.vertices), hand_parts(model)

    def posed(self, params: HandParams, arm: ArmSpec, left: bool) -> Limb:
        """One hand; `params` and `arm` of a batch of one, of the mirror image of a `left` hand."""
        arms = self.arms(params, arm)
        mirror = FLIP if left else 1.0
        vertices = arms.vertices[0].numpy() * mirror
        bare = float(arm.cuff[0]) > BARE
        order = [0, 2, 1] if left else [0, 1, 2]
        faces = (self._bare if bare else self._dressed)[:, order]
        count = int(self._bare.max()) + 1 if bare else len(vertices)
        return Limb(
            hand=Solid(vertices[: self.vertices], self.faces[:, order]),
            whole=Solid(vertices[:count], faces),
            points=arms.points[0].numpy() * mirror,
            keypoints=arms.keypoints[0].numpy() * mirror,
        )

    def vertices_of(self, params: HandParams, left: bool) -> np.ndarray:
        """(B, V, 3) of B hands without their arms."""
        vertices: np.ndarray = self.arms.model(params).vertices.numpy()
        return vertices * (FLIP if left else 1.0)

    def own_depths(self, vertices: np.ndarray, left: bool) -> np.ndarray:
        """How deep hands (B, V, 3) are in themselves, see `fitter.contact.self_contacts`: (B, 6)
        metres, by the fingers of `MODEL_FINGERS` that are in something or have something in them,
        and last by the palm."""
        hands = Surface(torch.from_numpy(vertices * (FLIP if left else 1.0)), self._skin)
        inside = self_contacts(hands, self._parts)
        depths = np.zeros((len(vertices), len(MODEL_FINGERS) + 1))
        for vertex in (inside.vertex, inside.corners[:, 0]):
            # -1, of the palm, is the last.
            place = inside.pair.numpy(), self.finger[vertex.numpy()]
            np.maximum.at(depths, place, -inside.gap.numpy())
        return depths

    def fingers(self, params: HandParams, anatomy: Anatomy, left: bool) -> Fingers:
        """The fingers of a hand, whatever their angles; `params` of a batch of one."""

        def vertices(angles: np.ndarray) -> np.ndarray:
            pose = anatomy.hand_pose(torch.from_numpy(angles))
            many = params.map(lambda value: value.expand(len(angles), *value.shape[1:]))
            return self.vertices_of(replace(many, hand_pose=pose), left)

        def caught(found: np.ndarray) -> np.ndarray:
            deep: np.ndarray = self.own_depths(found, left)[:, :-1] > DEEPEST
            return deep

        return Fingers(vertices, self.finger, self.finger_faces, caught)


def _closed_tube(rings: np.ndarray) -> np.ndarray:
    """Faces of a tube of rings (R, N) of vertices whose two ends are fans."""
    first, last = rings[0], rings[-1]
    ends = [
        np.stack([np.full(len(first) - 2, first[0]), first[1:-1], first[2:]], 1),
        np.stack([np.full(len(last) - 2, last[0]), last[2:], last[1:-1]], 1),
    ]
    return np.concatenate([strip(rings), *ends])
