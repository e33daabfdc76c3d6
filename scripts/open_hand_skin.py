"""The open hand's UV atlas and the layers of its skin: where creases, nails, veins and palm are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from example_geometry import SKIN, ArmMesh, RestFrame, rest_frame
from example_skin import (
    Samples,
    SolidNoise,
    bump,
    distance_to_curve,
    finger_creases,
    knuckle_flush,
    nails,
    palm_creases,
    ramp,
)
from scipy.ndimage import distance_transform_edt

from fitter.hand_models import HandModelData
from fitter.raster import rasterize
from fitter.rendering import vertex_normals

SUPERSAMPLING = 3
"""Samples along a texel's side: a crease is narrower than a texel."""
FRINGE = 1.5
"""Texels around the charts that are painted too: bilinear lookups at a border use them."""


@dataclass(frozen=True)
class Atlas:
    """The surface points that the texels show, S samples on M texels of a T x T texture.

    Attributes:
        arm: the hand at rest as the painting functions want it.
        samples: the S points.
        texel: (S,) row in 0..M-1 of the texel that holds the sample.
        texel_rows: (T, T) row of the texel to show, the nearest one where no face lies.
        corners: (S, 3) vertices of the sample's face; weights: (S, 3) barycentrics in it.
        on_surface: (S,) bool; the other samples lie around the charts, where the nearest face's
            plane goes on, so that a lookup at a seam finds the same colour on both sides.
    """

    arm: ArmMesh
    samples: Samples
    texel: np.ndarray
    texel_rows: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    on_surface: np.ndarray

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """(M,) means over each texel's samples of (S,) values."""
        count = np.bincount(self.texel)
        return np.bincount(self.texel, values) / count


@dataclass(frozen=True)
class SkinLayers:
    """One random drawing of the skin's structure, (M,) per texel, about 0 to 1.

    Attributes:
        palm: 1 on the palmar side; arm: 1 beyond the wrist.
        knuckles: backs of the finger joints, where blood and pigment show.
        blood: blotches of the palm, about -1 to 1; tips: the fingertips.
        palm_lines: creases of the palm and of the fingers' palmar side.
        back_lines: wrinkles across the backs of the finger joints.
        nail, edge, lunula: nails, their free edges and half moons.
        veins: on the back of the hand.
        coarse, fine: mottling, about -1 to 1.
        freckles: small spots of pigment on the back.
    """

    palm: np.ndarray
    arm: np.ndarray
    knuckles: np.ndarray
    blood: np.ndarray
    tips: np.ndarray
    palm_lines: np.ndarray
    back_lines: np.ndarray
    nail: np.ndarray
    edge: np.ndarray
    lunula: np.ndarray
    veins: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    freckles: np.ndarray


def hand_at_rest(data: HandModelData) -> ArmMesh:
    """A hand model as the mesh that the painting functions know: all skin, no forearm."""
    rest = data.v_template
    joints = data.joint_regressor @ rest
    normals = vertex_normals(torch.from_numpy(rest)[None], torch.from_numpy(data.faces))[0].numpy()
    return ArmMesh(
        vertices=rest,
        faces=data.faces,
        rest=rest,
        rest_normals=normals,
        weights=data.skin_weights,
        material=np.full(len(rest), SKIN),
        along=np.zeros((len(rest), 2)),
        frame=rest_frame(joints, rest[list(data.tip_vertices)]),
    )


def unfold(data: HandModelData, size: int) -> Atlas:
    """Find the surface points under a texture of `size` x `size` texels.

    Args:
        data: a model with texture coordinates, right hand.
        size: texels along a side; row 0 at the top, v up.
    """
    fine = size * SUPERSAMPLING
    corners_uv = np.stack([data.uv[:, 0] * fine, (1 - data.uv[:, 1]) * fine], axis=-1)
    screen = np.concatenate([corners_uv, np.ones((len(corners_uv), 1))], axis=-1)
    fragments = rasterize(
        torch.from_numpy(screen)[None], torch.from_numpy(data.uv_faces), (fine, fine)
    )
    face_index = fragments.face_index[0].numpy()
    distance, nearest = distance_transform_edt(face_index < 0, return_indices=True)
    row, column = np.nonzero(distance <= FRINGE * SUPERSAMPLING)
    face = face_index[tuple(nearest[:, row, column])]
    weights = _barycentrics(np.stack([column, row], axis=-1) + 0.5, corners_uv[data.uv_faces[face]])
    inside, texel = np.unique(
        row // SUPERSAMPLING * size + column // SUPERSAMPLING, return_inverse=True
    )
    rows = np.full(size * size, -1)
    rows[inside] = np.arange(len(inside))
    rows = rows.reshape(size, size)
    known = distance_transform_edt(rows < 0, return_distances=False, return_indices=True)

    arm, corners = hand_at_rest(data), data.faces[face]

    def at(attribute: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk...->n...", weights, attribute[corners])

    normals = at(arm.rest_normals)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    samples = Samples(at(arm.rest), normals, at(arm.weights), at(arm.along))
    on_surface = face_index[row, column] >= 0
    return Atlas(arm, samples, texel.ravel(), rows[tuple(known)], corners, weights, on_surface)


def _barycentrics(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N, 3) weights of points (N, 2) in triangles (N, 3, 2), negative outside of them."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    area = np.cross(b - a, c - a)
    second, third = np.cross(points - a, c - a) / area, np.cross(b - a, points - a) / area
    return np.stack([1 - second - third, second, third], axis=-1)


VEINS = (
    ((0.95, 0.33), (0.72, 0.31), (0.46, 0.2), (0.2, 0.24), (-0.12, 0.32)),
    ((0.97, 0.0), (0.74, -0.03), (0.54, 0.06), (0.46, 0.2)),
    ((0.95, -0.33), (0.7, -0.33), (0.44, -0.28), (0.18, -0.24), (-0.12, -0.3)),
    ((0.46, 0.2), (0.52, -0.02), (0.44, -0.28)),
    ((0.5, 0.78), (0.28, 0.56), (0.06, 0.42), (-0.12, 0.36)),
)
"""The larger veins of the back: from between the knuckles over an arch to both sides of the wrist,
and one from the thumb. Positions along the metacarpals (0 at the wrist joint, 1 at the middle
knuckle) and across (half a unit either way to the outer knuckles, the thumb's side positive)."""


def _veins(rest: np.ndarray, frame: RestFrame, noise: SolidNoise) -> np.ndarray:
    """At points (N, 3): the large veins, which everyone has there, and faint small ones."""
    small = bump(np.abs(noise(rest + 0.004 * noise(rest, 0.02)[:, None], 0.028)), 0.08)
    offset = rest - frame.joints[0]
    length = (frame.joints[4] - frame.joints[0]) @ frame.forward
    width = (frame.joints[1] - frame.joints[7]) @ frame.radial
    middle = 0.5 * (frame.joints[1] + frame.joints[7]) - frame.joints[0]
    along = offset @ frame.forward + 0.0025 * noise(rest, 0.02, 2)
    across = (offset - middle) @ frame.radial + 0.0025 * noise(rest + 5, 0.02, 2)
    plane = np.stack([along, across], axis=-1)
    distances = [distance_to_curve(plane, curve, length, width) for curve in VEINS]
    large = bump(np.min(distances, axis=0), 0.0018) * (0.75 + 0.25 * noise(rest + 9, 0.02))
    return np.maximum(large, 0.4 * small)


def draw_layers(atlas: Atlas, generator: np.random.Generator) -> SkinLayers:
    """Draw the structure of one skin."""
    points, frame = atlas.samples, atlas.arm.frame
    rest, noise = points.rest, SolidNoise(generator)
    pads = np.vstack([frame.palmar, frame.pads])
    palmar = ((points.weights @ pads) * points.normals).sum(axis=1)
    arm = ramp((rest - frame.joints[0]) @ -frame.forward, -0.005, 0.02)
    palm = ramp(palmar + 0.12 * noise(rest, 0.02, 2), -0.25, 0.45) * (1 - 0.75 * arm)
    of_fingers = finger_creases(points, frame, noise, palmar)
    front = palmar > 0.05
    nail, edge, lunula = nails(points, atlas.arm, noise)
    veins = (1 - palm) * (points.weights[:, 0] + arm).clip(0, 1)
    veins[veins > 0] *= _veins(rest[veins > 0], frame, noise)
    tips = sum(bump(np.linalg.norm(rest - tip, axis=1), 0.014) for tip in frame.tips)
    drawn = SkinLayers(
        palm=palm,
        arm=arm,
        knuckles=knuckle_flush(points, frame, palm) - 0.7 * tips,
        blood=palm * (1 - arm) * noise(rest, 0.025, 2),
        tips=tips,
        palm_lines=(of_fingers * front + palm_creases(points, frame, noise, palmar)).clip(0, 1.3),
        back_lines=(of_fingers * ~front).clip(0, 1.3),
        nail=nail,
        edge=edge,
        lunula=lunula,
        veins=veins,
        coarse=noise(rest, 0.012, 3),
        fine=noise(rest, 0.0018, 2),
        freckles=ramp(noise(rest, 0.004, 2), 0.45, 0.8) * (1 - palm),
    )
    return SkinLayers(*(atlas.averaged(getattr(drawn, field.name)) for field in fields(drawn)))
