"""A hand that goes on into a forearm and a sleeve, for many hands at once.

The mesh of the hand model stays as it is; the fan of faces that closes its wrist is taken away and
rings of vertices continue the skin from the loop that is left. A sleeve is a second, wider tube
with a hem that turns in. Both bend at the wrist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.records import FOREARM, HAND, SLEEVE, ArmSpec
from fitter.hand_models import HandModel
from fitter.hand_models.kinematics import mano_joints
from fitter.records import HandParams, TensorBatch
from fitter.rotations import roma

ARM_LENGTH = 0.55
"""Metres of forearm and sleeve beyond the wrist: long enough to leave every image."""
BENDING = 0.05
"""Metres beyond the wrist in which the forearm takes up its bend."""
CUTS = tuple(0.01 * step for step in range(1, 16))
"""Shares of a hand's length that are taken away at its wrist, the first that leaves one loop."""
RINGS = 15
SLEEVE_RINGS, AROUND = 16, 24
HIDDEN = -1.0
"""Depth of what is not there: behind the camera, so that its faces are dropped."""
BARE = 0.5
"""Metres from the wrist beyond which a sleeve is none."""


@dataclass(frozen=True)
class Mesh:
    """Faces of a part or of several together.

    Attributes:
        faces: (F, 3) int64 vertices; corners: (F, 3) int64 rows of `coordinates`.
        coordinates: (C, 2) float32 surface coordinates: the texture's u and v on a hand, share of
            the length and radians around on sleeves and objects.
        part: (F,) int64, see `synthetic_records.BACKGROUND`; skin_of: (F,) 0 or 1, which hand's
            skin or cloth, and which object, a face shows.
        count: number of vertices.
    """

    faces: Tensor
    corners: Tensor
    coordinates: Tensor
    part: Tensor
    skin_of: Tensor
    count: int

    def to(self, device: torch.device | str) -> Mesh:
        """The same on a device."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Mesh(**tensors, count=self.count)


def together(meshes: list[Mesh]) -> Mesh:
    """One mesh of several, whose vertices follow each other in the same order."""
    first = np.cumsum([0, *(mesh.count for mesh in meshes)])
    row = np.cumsum([0, *(len(mesh.coordinates) for mesh in meshes)])
    numbered = list(enumerate(meshes))
    return Mesh(
        faces=torch.cat([mesh.faces + int(first[k]) for k, mesh in numbered]),
        corners=torch.cat([mesh.corners + int(row[k]) for k, mesh in numbered]),
        coordinates=torch.cat([mesh.coordinates for mesh in meshes]),
        part=torch.cat([mesh.part for mesh in meshes]),
        skin_of=torch.cat([mesh.skin_of for mesh in meshes]),
        count=int(first[-1]),
    )


def open_wrist(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove the fan that closes the wrist.

    The fan's centre is the vertex with the most faces; around it lie one inner ring and the skin's
    last loop.

    Returns:
        The remaining faces and the loop's vertices in the order of the mesh's half-edges there.

    Raises:
        ValueError: what is left has another number of loops than one.
    """
    centre = int(np.argmax(np.bincount(faces.ravel())))
    inner = np.unique(faces[(faces == centre).any(axis=1)])
    is_cap = np.isin(faces, inner).any(axis=1)
    remaining = faces[~is_cap]
    loop = _only_loop(remaining)
    if loop is None:
        raise ValueError("expected one loop around the wrist's cap, found several")
    return remaining, loop


def cut_wrist(faces: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove the end of a closed hand beyond its wrist, whatever it is like.

    Args:
        faces: (F, 3).
        heights: (V,) of the vertices along the hand, rising from the wrist to the fingers.

    Returns:
        As `open_wrist`, for the least cut that leaves one loop.

    Raises:
        ValueError: none of the cuts leaves one loop.
    """
    used = heights[np.unique(faces)]
    for share in CUTS:
        level = used.min() + share * np.ptp(used)
        remaining = faces[(heights[faces] >= level).all(axis=1)]
        loop = _only_loop(remaining)
        if loop is not None:
            return remaining, loop
    raise ValueError("expected a hand that can be cut at its wrist along one loop, found none")


def _only_loop(faces: np.ndarray) -> np.ndarray | None:
    """The vertices of a mesh's one boundary, in the order of its half-edges; None if it has none or
    several."""
    edges = {(a, b) for f in faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    if not following:
        return None
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
        if len(loop) > len(following):
            return None
    return np.array(loop) if len(loop) == len(following) else None


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    x = x.clamp(0.0, 1.0)
    return x * x * (3 - 2 * x)


def strip(rings: np.ndarray) -> np.ndarray:
    """Faces between consecutive rings (R, N) of vertices that run against the outer winding."""
    after = np.roll(rings, -1, axis=1)
    return _quads(rings[:-1], after[:-1], after[1:], rings[1:])


def _quads(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.stack([b, a, d], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )


def tube(rings: int, around: int, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces (F, 3) of a tube whose vertices start at `first`, their corners (F, 3), and surface
    coordinates (C, 2): share of the length, angle; the seam has two columns of them."""
    faces = strip(first + np.arange(rings * around).reshape(rings, around))
    columns = np.arange(rings * (around + 1)).reshape(rings, around + 1)
    left, right = columns[:, :-1], columns[:, 1:]
    corners = _quads(left[:-1], right[:-1], right[1:], left[1:])
    share, angle = np.linspace(0, 1, rings), np.linspace(0, 2 * np.pi, around + 1)
    coordinates = np.stack(np.meshgrid(share, angle, indexing="ij"), axis=-1).reshape(-1, 2)
    return faces, corners, coordinates


@dataclass(frozen=True)
class PosedArms(TensorBatch):
    """B hands with arms, metres, float64, in the frame of their parameters.

    Attributes:
        vertices: (B, count, 3) of hand model, arm and sleeve.
        points: (B, 21, 3) joints and tips, as `finger_contact` takes them.
        keypoints: (B, 21, 3) canonical.
    """

    vertices: Tensor
    points: Tensor
    keypoints: Tensor


class ArmBuilder:
    """Poses hands of one right-hand model with their arms: V + RINGS * L + SLEEVE_RINGS * AROUND
    vertices in this order, L those of the wrist's loop.

    Attributes:
        hand_mesh: of one hand with its arm.
        loop: (L,) vertices of the hand around the wrist; arm_rows: those and the forearm's.
    """

    def __init__(self, model: HandModel, frame: np.ndarray, device: torch.device | str) -> None:
        """Prepare.

        Args:
            model: right hand, closed at the wrist: the open hand, by a fan of faces.
            frame: (3, 3) rows radial, forward, palmar, see `PoseModel.frame`.
            device: where hands are posed.
        """
        self.model = HandModel(model.data, torch.float64).to(device)
        self.frame = torch.from_numpy(frame).to(device)
        heights = model.data.v_template @ frame[1]
        is_open_hand = model.data.name == "open_hand"
        faces = model.data.faces
        hand_faces, loop = open_wrist(faces) if is_open_hand else cut_wrist(faces, heights)
        self.loop = torch.from_numpy(loop).to(device)
        beyond = len(model.data.v_template) + torch.arange(RINGS * len(loop), device=device)
        self.arm_rows = torch.cat([self.loop, beyond])
        self.hand_mesh = self._mesh(hand_faces, loop)
        # Narrow steps where the skin bends and the shape of the loop goes over to an ellipse.
        steps = ARM_LENGTH * np.linspace(0, 1, RINGS + 1)[1:] ** 1.9
        self.steps = torch.from_numpy(steps).to(device)
        template = model.data.v_template[loop]
        side = (template - template.mean(axis=0)) @ frame[[0, 2]].T
        self.half_axes = torch.from_numpy(np.ptp(side, axis=0) / 2).to(device)

    def _mesh(self, hand_faces: np.ndarray, loop: np.ndarray) -> Mesh:
        data = self.model.data
        count = len(data.v_template)
        rows = count + np.arange(RINGS * len(loop)).reshape(RINGS, len(loop))
        arm_faces = strip(np.vstack([loop, rows]))
        first = count + rows.size
        sleeve_faces, sleeve_corners, sleeve_coordinates = tube(SLEEVE_RINGS, AROUND, first)
        uv = np.zeros((1, 2)) if data.uv is None else data.uv
        uv_faces = np.zeros_like(data.faces) if data.uv_faces is None else data.uv_faces
        kept = {tuple(face): row for row, face in enumerate(data.faces.tolist())}
        hand_corners = uv_faces[[kept[tuple(face)] for face in hand_faces.tolist()]]
        corners = [hand_corners, np.zeros_like(arm_faces), sleeve_corners + len(uv)]
        sizes = [len(hand_faces), len(arm_faces), len(sleeve_faces)]
        part = np.repeat([HAND, FOREARM, SLEEVE], sizes)
        return Mesh(
            faces=torch.from_numpy(np.concatenate([hand_faces, arm_faces, sleeve_faces])),
            corners=torch.from_numpy(np.concatenate(corners).astype(np.int64)),
            coordinates=torch.from_numpy(np.concatenate([uv, sleeve_coordinates])).float(),
            part=torch.from_numpy(part),
            skin_of=torch.zeros(len(part), dtype=torch.int64),
            count=first + SLEEVE_RINGS * AROUND,
        )

    def __call__(self, params: HandParams, arm: ArmSpec) -> PosedArms:
        """Pose B hands with their arms."""
        arm = arm.to(torch.float64)
        mesh = self.model(params)
        template = self.model.v_template[self.loop]
        shapes = self.model.shapedirs[self.loop][..., : params.betas.shape[1]]
        rest = template + (shapes * params.betas[:, None, None]).sum(-1)
        root = self.model.rest_joints(params.betas)[:, :1]
        tube_points = torch.cat([self._skin(rest, arm), self._sleeve(rest, arm)], 1)
        rotation = roma.rotvec_to_rotmat(params.global_orient)
        placed = (tube_points - root) @ rotation.transpose(1, 2) + root + params.transl[:, None]
        bare = torch.arange(placed.shape[1], device=placed.device) >= RINGS * len(self.loop)
        bare = bare & (arm.cuff > BARE)[:, None]
        hidden = placed.new_tensor([0.0, 0.0, HIDDEN])
        placed = torch.where(bare[..., None], hidden, placed)
        tips = mesh.vertices.index_select(1, self.model.tip_vertices)
        arms = PosedArms(
            vertices=torch.cat([mesh.vertices, placed], 1),
            points=torch.cat([mano_joints(mesh.joints, self.model.skeleton), tips], 1),
            keypoints=mesh.keypoints,
        )
        # The last bits of a sum depend on the batch that it is taken in.
        return arms.map(lambda points: points.round(decimals=9))

    def _ellipse(self, distance: Tensor, angle: Tensor, arm: ArmSpec) -> Tensor:
        """Radius in metres of a bare forearm, which widens toward the elbow."""
        grown = smoothstep(distance / 0.22)
        girth = arm.girth.view(-1, 1, 1)
        side, front = (axis * arm.size.view(-1, 1, 1) for axis in self.half_axes)
        side = side * (1 + (0.38 + girth - 1) * grown)
        front = front * (1 + (0.55 + girth - 1) * grown)
        return 1 / ((torch.cos(angle) / side) ** 2 + (torch.sin(angle) / front) ** 2).sqrt()

    def _skin(self, rest: Tensor, arm: ArmSpec) -> Tensor:
        """(B, RINGS * L, 3) vertices that continue the loop (B, L, 3), rest frame."""
        radial, forward, palmar = self.frame
        centre = rest.mean(dim=1, keepdim=True)
        offset = rest - centre
        side, front = (offset * radial).sum(-1), (offset * palmar).sum(-1)
        height = -(offset * forward).sum(-1)[:, None]
        angle = torch.atan2(front, side)[:, None]
        steps = self.steps[None, :, None]
        blend = smoothstep(steps / 0.05)
        radius = (1 - blend) * (side.square() + front.square()).sqrt()[:, None]
        radius = radius + blend * self._ellipse(steps, angle, arm)
        distance = steps + (1 - smoothstep(steps / 0.04)) * height
        return self._placed(centre, distance, angle, radius, arm)

    def _sleeve(self, rest: Tensor, arm: ArmSpec) -> Tensor:
        """(B, SLEEVE_RINGS * AROUND, 3) vertices of a sleeve with a turned-in hem, rest frame."""
        device, double = rest.device, torch.float64
        angle = -torch.arange(AROUND, device=device, dtype=double) * (2 * np.pi / AROUND)
        cuff, slack = arm.cuff.view(-1, 1, 1), arm.slack.view(-1, 1, 1)
        share = torch.linspace(0, 1, SLEEVE_RINGS - 2, device=device, dtype=double) ** 1.3
        along = share[None, :, None] * (ARM_LENGTH - cuff.clamp_max(BARE)) + 0.001
        inner = along.new_tensor([0.02, 0.002])[None, :, None].expand(len(rest), 2, 1)
        distance = torch.cat([inner, along], 1)
        thick = torch.cat([inner * 0 + 0.0006, slack + 0.002 + 0 * along], 1)
        thick[:, 1:2] = slack * 0.7
        rate, turns, one, two = (
            arm.folds[..., k].view(-1, 1, 1, len(arm.folds[0])) for k in range(4)
        )
        wave = torch.sin(rate * distance[..., None] + turns * angle[:, None] + one)
        folds = (wave * torch.sin(2 * angle[:, None] + two)).sum(-1)
        loose = smoothstep((distance - 0.03) / 0.06)
        radius = self._ellipse(distance + cuff, angle, arm) + thick
        radius = radius + loose * (0.004 + 0.0017 * folds)
        centre = rest.mean(dim=1, keepdim=True)
        reach = (distance + cuff).expand_as(radius)
        return self._placed(centre, reach, angle.expand_as(radius), radius, arm)

    def _placed(
        self, centre: Tensor, distance: Tensor, angle: Tensor, radius: Tensor, arm: ArmSpec
    ) -> Tensor:
        """Points (B, R * N, 3) at a radius around a curve that bends at the wrist.

        The direction of the curve rotates by `smoothstep(d / BENDING)` of the whole bend at the
        distance d, its position is the integral of the direction (8 midpoints).
        """
        radial, forward, palmar = self.frame
        axis = -forward
        full = arm.bend[:, None] * torch.linalg.cross(axis, palmar)
        full = full + arm.deviation[:, None] * torch.linalg.cross(axis, radial)
        nodes = (torch.arange(8, device=full.device, dtype=full.dtype) + 0.5) / 8
        bent = distance.clamp(0, BENDING).expand_as(radius)
        rotated = (
            smoothstep(bent[..., None] * nodes / BENDING)[..., None] * full[:, None, None, None]
        )
        mean = _rotated(rotated, axis).mean(dim=-2)
        end = smoothstep(distance / BENDING)[..., None].expand_as(mean) * full[:, None, None]
        direction = _rotated(end, axis)
        ring = torch.cos(angle)[..., None] * radial + torch.sin(angle)[..., None] * palmar
        ring = _rotated(end, ring.expand_as(end)) * radius[..., None]
        rest = (distance.expand_as(radius) - bent)[..., None]
        # Before the wrist, where the loop is uneven, the curve is straight.
        rest_direction = torch.where(rest < 0, axis.expand_as(direction), direction)
        points = bent[..., None] * mean + rest * rest_direction + ring
        return (centre[:, None] + points).flatten(1, 2)


def _rotated(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Vectors rotated by axis-angles (..., 3) (Rodrigues' formula)."""
    angle = rotation.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
    unit = rotation / angle
    vectors = vectors.expand_as(rotation)
    cross = torch.linalg.cross(unit, vectors)
    along = unit * (unit * vectors).sum(-1, keepdim=True)
    return vectors * angle.cos() + cross * angle.sin() + along * (1 - angle.cos())
