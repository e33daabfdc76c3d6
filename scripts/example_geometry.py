"""Geometry of the example images: a hand that continues into a forearm and a sleeve.

Everything is done on the coarse mesh of the hand model in its rest pose and in the posed one alike,
so that materials can be painted in the rest pose, where a knuckle stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
import trimesh
from scipy.spatial.transform import Rotation

from datasets.synthetic.arms import open_wrist
from fitter.hand_models import HandModel
from fitter.hand_models.anatomy import FLEXION, TWIST, joint_axes
from fitter.records import HandParams

SKIN, CLOTH = 0, 1
ARM_LENGTH = 0.55
"""Metres of forearm and sleeve beyond the wrist: long enough to leave every image."""


@dataclass(frozen=True)
class ArmStyle:
    """How the hand goes on beyond the wrist.

    Attributes:
        bend: radians by which the forearm is bent at the wrist, toward the palm if positive.
        deviation: radians by which it is bent sideways, toward the thumb if positive.
        cuff: metres from the end of the hand model to the sleeve's hem.
        slack: metres between skin and sleeve.
    """

    bend: float
    deviation: float
    cuff: float
    slack: float


@dataclass(frozen=True)
class RestFrame:
    """Where things are on the hand in its rest pose (right hand, metres, model frame).

    Attributes:
        joints: (16, 3), tips: (5, 3) thumb to little.
        axes: (15, 3, 3) anatomical axes, see `fitter.hand_models.anatomy`.
        forward: (3,) unit, wrist to middle knuckle; palmar: (3,) unit, out of the palm;
            radial: (3,) unit, toward the thumb's side; a frame at right angles.
    """

    joints: np.ndarray
    tips: np.ndarray
    axes: np.ndarray
    forward: np.ndarray
    palmar: np.ndarray
    radial: np.ndarray

    @property
    def pads(self) -> np.ndarray:
        """(15, 3): unit vectors out of the palmar side of the bone that each joint moves."""
        return np.cross(self.axes[:, FLEXION], self.axes[:, TWIST])


@dataclass(frozen=True)
class ArmMesh:
    """One arm, finely subdivided.

    Attributes:
        vertices: (V, 3) metres, camera frame, with faces (F, 3) counter-clockwise from outside.
        rest: (V, 3) metres, rest pose of a right hand with a straight forearm.
        rest_normals: (V, 3) unit.
        weights: (V, 16) skin weights; the forearm and the sleeve follow the wrist.
        material: (V,) SKIN or CLOTH.
        along: (V, 2) on the sleeve: metres from the hem and angle in radians; 0 on skin.
        frame: of the rest pose.
    """

    vertices: np.ndarray
    faces: np.ndarray
    rest: np.ndarray
    rest_normals: np.ndarray
    weights: np.ndarray
    material: np.ndarray
    along: np.ndarray
    frame: RestFrame


def rest_frame(joints: np.ndarray, tips: np.ndarray) -> RestFrame:
    """The rest pose's directions from its (16, 3) joints and (5, 3) tips, right hand."""
    axes = joint_axes(joints, tips)
    forward = joints[4] - joints[0]
    forward = forward / np.linalg.norm(forward)
    across = joints[1] - joints[7]
    palmar = np.cross(across, forward)
    palmar /= np.linalg.norm(palmar)
    return RestFrame(joints, tips, axes, forward, palmar, np.cross(forward, palmar))


def build_arm(
    model: HandModel,
    params: HandParams,
    style: ArmStyle,
    generator: np.random.Generator,
    levels: int = 2,
) -> ArmMesh:
    """Pose one right hand and give it a forearm and a sleeve.

    Args:
        model: right hand, closed by a fan of faces at the wrist.
        params: one hand.
        style: of the forearm.
        generator: decides the folds of the sleeve.
        levels: how often the skin is subdivided, at least 1; the sleeve is once less.
    """
    still = params.map(torch.zeros_like)
    still = HandParams(still.global_orient, still.hand_pose, params.betas, still.transl)
    with torch.no_grad():
        rest_mesh, mesh = model(still), model(params)
    rest = rest_mesh.vertices[0].double().numpy()
    posed = mesh.vertices[0].double().numpy()
    joints = rest_mesh.joints[0].double().numpy()
    frame = rest_frame(joints, rest[list(model.data.tip_vertices)])
    rotation = Rotation.from_rotvec(params.global_orient[0].double().numpy())
    shift = params.transl[0].double().numpy() + joints[0]

    faces, loop = open_wrist(model.data.faces)
    forearm = _Forearm(rest[loop], frame, style)
    skin_rest, skin_faces = forearm.skin(len(rest), loop)
    sleeve_rest, sleeve_faces, along = forearm.sleeve(generator)
    skin_posed = np.vstack([posed, rotation.apply(forearm.bent(skin_rest) - joints[0]) + shift])
    sleeve_posed = rotation.apply(forearm.bent(sleeve_rest) - joints[0]) + shift
    root_only = np.eye(16)[0]
    skin, skin_faces = subdivide(
        np.hstack(
            [
                skin_posed,
                np.vstack([rest, skin_rest]),
                np.vstack([model.data.skin_weights, np.tile(root_only, (len(skin_rest), 1))]),
                np.zeros((len(skin_posed), 2)),
            ]
        ),
        np.vstack([faces, skin_faces]),
        levels=levels,
    )
    root_weights = np.tile(root_only, (len(sleeve_rest), 1))
    sleeve, sleeve_faces = subdivide(
        np.hstack([sleeve_posed, sleeve_rest, root_weights, along]), sleeve_faces, levels=levels - 1
    )
    table, faces = np.vstack([skin, sleeve]), np.vstack([skin_faces, sleeve_faces + len(skin)])
    normals = np.array(trimesh.Trimesh(table[:, 3:6], faces, process=False).vertex_normals)
    return ArmMesh(
        vertices=table[:, :3],
        faces=faces,
        rest=table[:, 3:6],
        rest_normals=normals,
        weights=table[:, 6:22],
        material=np.where(np.arange(len(table)) < len(skin), SKIN, CLOTH),
        along=table[:, 22:24],
        frame=frame,
    )


def subdivide(table: np.ndarray, faces: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Loop subdivision of any per-vertex columns (V, C); vertices without a face are dropped."""
    used, faces = np.unique(faces, return_inverse=True)
    table, faces = table[used], faces.reshape(-1, 3)
    for _ in range(levels):
        matrix, faces = _loop_matrix(faces, len(table))
        table = matrix @ table
    return table, faces


def _loop_matrix(faces: np.ndarray, count: int) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """One step of Loop's scheme with the vertex weights of Warren, and its four times finer faces.

    C. Loop, "Smooth subdivision surfaces based on triangles", 1987; J. Warren, "Subdivision
    methods for geometric design", 1995 (3/16 for valence 3, else 3/(8n)).
    """
    corners = np.concatenate([faces, faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]])
    edges, inverse, shared = np.unique(
        np.sort(corners[:, :2], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    inverse = inverse.ravel()
    inner, border = shared == 2, edges[shared == 1]
    middle = np.arange(len(edges))
    ends = np.where(inner, 3 / 8, 1 / 2)
    odd = scipy.sparse.coo_matrix(
        (
            np.concatenate([ends, ends, np.where(inner[inverse], 1 / 8, 0.0)]),
            (
                np.concatenate([middle, middle, inverse]),
                np.concatenate([edges[:, 0], edges[:, 1], corners[:, 2]]),
            ),
        ),
        shape=(len(edges), count),
    )

    def neighbours(pairs: np.ndarray) -> scipy.sparse.csr_matrix:
        both = np.concatenate([pairs, pairs[:, ::-1]])
        return scipy.sparse.coo_matrix((np.ones(len(both)), both.T), (count, count)).tocsr()

    around, rim = neighbours(edges), neighbours(border)
    valence = np.asarray(around.sum(axis=1)).ravel()
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * valence))
    on_rim = np.asarray(rim.sum(axis=1)).ravel() > 0
    even = scipy.sparse.diags(np.where(on_rim, 3 / 4, 1 - valence * beta))
    even = even + scipy.sparse.diags(np.where(on_rim, 0.0, beta)) @ around + rim / 8
    ab, bc, ca = (count + part for part in np.split(inverse, 3))
    a, b, c = faces.T
    finer = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return (
        scipy.sparse.vstack([even, odd]).tocsr(),
        np.concatenate([np.stack(triangle, axis=-1) for triangle in finer]),
    )


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _strip(rings: np.ndarray) -> np.ndarray:
    """Faces between consecutive rings (R, N) of vertices that run against the outer winding."""
    after = np.roll(rings, -1, axis=1)
    a, b, c, d = rings[:-1], after[:-1], after[1:], rings[1:]
    return np.concatenate(
        [np.stack([b, a, d], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )


class _Forearm:
    """Rings along a forearm that starts at the wrist's loop, in the rest pose's frame."""

    def __init__(self, loop: np.ndarray, frame: RestFrame, style: ArmStyle) -> None:
        self.frame, self.style = frame, style
        self.axis = -frame.forward
        self.centre = loop.mean(axis=0)
        offset = loop - self.centre
        self.height = offset @ self.axis
        side, front = offset @ frame.radial, offset @ frame.palmar
        self.angle, self.radius = np.arctan2(front, side), np.hypot(side, front)
        self.half_axes = np.array([np.ptp(side) / 2, np.ptp(front) / 2])

    def _ellipse(self, distance: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Radius in metres of a bare forearm, which widens toward the elbow."""
        grown = _smoothstep(distance / 0.22)
        side = self.half_axes[0] * (1 + 0.38 * grown)
        front = self.half_axes[1] * (1 + 0.55 * grown)
        return 1 / np.sqrt((np.cos(angle) / side) ** 2 + (np.sin(angle) / front) ** 2)

    def _place(self, distance: np.ndarray, angle: np.ndarray, radius: np.ndarray) -> np.ndarray:
        ring = np.cos(angle)[..., None] * self.frame.radial
        ring = ring + np.sin(angle)[..., None] * self.frame.palmar
        return self.centre + distance[..., None] * self.axis + radius[..., None] * ring

    def skin(self, first: int, loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (R * N, 3) and faces that continue the loop; vertex ids start at `first`."""
        reach = min(ARM_LENGTH, self.style.cuff + 0.06)
        steps = np.linspace(0, reach, max(4, round(reach / 0.007)))[1:, None]
        blend = _smoothstep(steps / 0.05)
        radius = (1 - blend) * self.radius + blend * self._ellipse(steps, self.angle)
        distance = steps + (1 - _smoothstep(steps / 0.04)) * self.height
        points = self._place(distance, np.broadcast_to(self.angle, radius.shape), radius)
        ids = first + np.arange(points[..., 0].size).reshape(radius.shape)
        return points.reshape(-1, 3), _strip(np.vstack([loop, ids]))

    def sleeve(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices, faces and (distance from the hem, angle) of a sleeve with a turned-in hem."""
        angle = -np.linspace(0, 2 * np.pi, 48, endpoint=False)
        start, slack = self.style.cuff, self.style.slack
        steps = np.linspace(0, ARM_LENGTH - start, max(4, round((ARM_LENGTH - start) / 0.008)))
        distance = np.concatenate([[0.015, 0.002], steps + 0.001])[:, None]
        thick = np.concatenate([[0.0005, slack * 0.7], np.full(len(steps), slack + 0.002)])[:, None]
        thick[2] -= 0.0012
        loose = _smoothstep((distance - 0.035) / 0.06)
        folds = np.zeros((len(distance), len(angle)))
        for _ in range(7):
            around, phase = generator.integers(1, 4), generator.uniform(0, 2 * np.pi, 2)
            rate = generator.uniform(40, 130)
            folds += np.sin(rate * distance + around * angle + phase[0]) * np.sin(
                2 * angle + phase[1]
            )
        radius = self._ellipse(distance + start, angle) + thick
        radius = radius + loose * (0.005 + 0.0016 * folds)
        points = self._place(
            np.broadcast_to(distance + start, radius.shape),
            np.broadcast_to(angle, radius.shape),
            radius,
        )
        ids = np.arange(radius.size).reshape(radius.shape)
        along = np.stack(np.broadcast_arrays(distance, angle), axis=-1)
        return points.reshape(-1, 3), _strip(ids), along.reshape(-1, 2)

    def bent(self, points: np.ndarray) -> np.ndarray:
        """Bend straight points (N, 3) at the wrist, by a curve that takes 5 cm."""
        grid = np.linspace(0, ARM_LENGTH + 0.05, 600)
        axes = np.stack(
            [np.cross(self.axis, self.frame.palmar), np.cross(self.axis, self.frame.radial)]
        )
        full = np.array([self.style.bend, self.style.deviation]) @ axes
        directions = Rotation.from_rotvec(_smoothstep(grid / 0.05)[:, None] * full).apply(self.axis)
        curve = np.vstack([np.zeros(3), np.cumsum(directions[:-1] * grid[1], axis=0)])
        distance = (points - self.centre) @ self.axis
        flat = points - self.centre - distance[:, None] * self.axis
        turned = Rotation.from_rotvec(_smoothstep(distance / 0.05)[:, None] * full).apply(flat)
        ahead = np.stack([np.interp(distance, grid, curve[:, k]) for k in range(3)], axis=-1)
        ahead += np.minimum(distance, 0)[:, None] * self.axis
        return self.centre + ahead + turned
