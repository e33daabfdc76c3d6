"""What the 21 keypoints of a data set or a detector are on a hand model.

    definition on the mesh     each keypoint is a fixed mean of a few vertices, posed with the mesh
    definition on the bones    each keypoint is fixed to a bone, beside its joint or tip vertex

Both are in one record. The mesh form speaks of posed meshes alone, so it compares anybody's
annotations (FreiHAND and HO-3D differ by the vertices that they take for fingertips). The bone form
is what the keypoint fit differentiates (`HandModelData.keypoint_offsets`).

A detector's definition is measured, and how far its keypoints scatter about it with it:
`load_mediapipe_definition`, `KeypointScatter`; see docs/detector.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.conventions import FINGERTIP_VERTICES, MODEL_TO_KEYPOINTS
from fitter.errors import InputError
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.skeleton import MANO_SKELETON
from fitter.records import Side

ASSETS = Path(__file__).parent / "assets"
MEDIAPIPE_DEFINITION = ASSETS / "mediapipe_definition.json"
"""Where MediaPipe's landmarks lie on the open hand; by `scripts/measure_keypoints.py`."""
MEDIAPIPE_SCATTER = ASSETS / "mediapipe_scatter.json"
"""How they scatter about that; by `scripts/measure_keypoints.py`."""

_MANO_VERTICES = 778
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class KeypointDefinition:
    """21 keypoints in canonical order, as a linear map of V vertices and as offsets from bones.

    Attributes:
        name: whose definition it is.
        side: of the hand that `offsets` belong to.
        vertex_count: V of the meshes that it is for.
        vertices: (21, M) int64 vertex indices, shorter lists filled up with vertex 0.
        weights: (21, M) float64, each row's sum is 1, zeros where filled up.
        offsets: (21, 3) float64 metres, rest frame, order [16 joints, 5 tips], fixed to the bones:
            `HandModelData.keypoint_offsets`, the best ones for all views together.
        view_offsets: (21, 2, 3) likewise, but for offsets that depend on the view: those of a hand
            viewed on edge, and what is added for each unit of `facing`, since a detector marks a
            knuckle nearer to the side that it faces. None where keypoints do not depend on it.
    """

    name: str
    side: Side
    vertex_count: int
    vertices: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    view_offsets: np.ndarray | None = None

    def keypoints(self, vertices: Tensor) -> Tensor:
        """(B, 21, 3) keypoints of posed meshes (B, V, 3), in their frame and unit; differentiable.

        Raises:
            InputError: the meshes have another number of vertices.
        """
        if vertices.shape[-2] != self.vertex_count:
            raise InputError(
                "definition.mesh_vertices",
                file=f"keypoint definition {self.name}",
                expected=self.vertex_count,
                found=vertices.shape[-2],
            )
        index = torch.as_tensor(self.vertices, device=vertices.device)
        weights = torch.as_tensor(self.weights, dtype=vertices.dtype, device=vertices.device)
        return (vertices[..., index, :] * weights[..., None]).sum(-2)

    def matrix(self) -> np.ndarray:
        """(21, V) the map as a matrix."""
        matrix = np.zeros((21, self.vertex_count))
        np.add.at(matrix, (np.arange(21)[:, None], self.vertices), self.weights)
        return matrix

    def mirrored(self) -> Self:
        """The same for the model of the other hand, whose vertices have the same numbers."""
        side: Side = "left" if self.side == "right" else "right"
        view = None if self.view_offsets is None else self.view_offsets * _MIRROR
        return replace(self, side=side, offsets=self.offsets * _MIRROR, view_offsets=view)

    def offsets_at(self, side: Tensor) -> Tensor:
        """(B, 21, 3) offsets, order and frame of `offsets`, for hands with `facing` (B,)."""
        if self.view_offsets is None:
            return torch.as_tensor(self.offsets).to(side).expand(len(side), -1, -1)
        view = torch.as_tensor(self.view_offsets).to(side)
        return view[:, 0] + side[:, None, None] * view[:, 1]

    def applied_to(self, data: HandModelData) -> HandModelData:
        """The model whose keypoints are these, by the offsets; its digest covers them.

        Raises:
            InputError: the model has another number of vertices.
        """
        _check_vertices(self.name, self.vertex_count, data)
        offsets = self.offsets if data.side == self.side else self.offsets * _MIRROR
        digest = hashlib.sha256(data.sha256.encode() + offsets.tobytes()).hexdigest()
        return replace(data, keypoint_offsets=offsets, sha256=digest)


def joint_definition(
    data: HandModelData, tips: tuple[int, ...] | None = None, name: str = "model"
) -> KeypointDefinition:
    """The 16 joints that a model's regressor gives, and vertices for fingertips.

    Args:
        data: the model.
        tips: vertices of thumb, index, middle, ring, little; None for the model's own.
        name: of the definition.

    Returns:
        Offsets are zero but for tips that are not the model's own: these are fixed to the last bone
        of the finger where they are in the rest pose of the mean hand.

    Raises:
        ValueError: the model's joints are not those of MANO, regressed from its skin.
    """
    if data.joint_regressor is None or data.skeleton != MANO_SKELETON:
        raise ValueError("expected a model with MANO's joints, regressed from its skin")
    tips = data.tip_vertices if tips is None else tips
    rows = [np.flatnonzero(row) for row in data.joint_regressor]
    values = [row[index] for row, index in zip(data.joint_regressor, rows, strict=True)]
    rows += [np.array([tip]) for tip in tips]
    values += [np.ones(1)] * 5
    offsets = np.zeros((21, 3))
    offsets[16:] = data.v_template[list(tips)] - data.v_template[list(data.tip_vertices)]
    order = MODEL_TO_KEYPOINTS
    index, weights = padded([rows[i] for i in order], [values[i] for i in order])
    # A regressor's rows sum to one up to the rounding of its file.
    weights /= weights.sum(1, keepdims=True)
    return KeypointDefinition(name, data.side, len(data.v_template), index, weights, offsets)


def mano_definition(data: HandModelData, name: str) -> KeypointDefinition:
    """A definition that public code has for MANO: a key of `conventions.FINGERTIP_VERTICES`.

    Raises:
        InputError: no such name, or the model has not MANO's vertices.
    """
    if name not in FINGERTIP_VERTICES:
        known = ", ".join(FINGERTIP_VERTICES)
        raise InputError("definition.name", file="keypoint definition", known=known, found=name)
    _check_vertices(name, _MANO_VERTICES, data)
    return joint_definition(data, FINGERTIP_VERTICES[name], name)


def load_mediapipe_definition(
    data: HandModelData, path: Path = MEDIAPIPE_DEFINITION
) -> KeypointDefinition:
    """MediaPipe's definition on the open hand.

    Args:
        data: the open hand, of either side.
        path: of the file, as `definition_content` lays it out.

    Raises:
        InputError: the file is missing or damaged, or was measured on another mesh.
    """
    content = _read_json(path, "a keypoint definition")
    right = data if data.side == "right" else data.mirrored()
    digest = mesh_digest(right.v_template)
    try:
        index, weights = padded(content["vertices"], content["weights"])
        offsets = np.array(content["offsets"], np.float64)
        view = np.array(content["view_offsets"], np.float64)
        name, measured_on = str(content["name"]), content["v_template_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "definition.fields", file=path, expected="a keypoint definition", reason=repr(error)
        ) from error
    if measured_on != digest:
        raise InputError("definition.other_mesh", file=path)
    sums = weights.sum(1)
    shapes = (offsets.shape, view.shape, index.shape[:1])
    if shapes != ((21, 3), (21, 2, 3), (21,)) or np.abs(sums - 1).max() > 1e-3:
        raise InputError("definition.weights", file=path)
    definition = KeypointDefinition(
        name, "right", len(data.v_template), index, weights / sums[:, None], offsets, view
    )
    return definition if data.side == "right" else definition.mirrored()


def definition_content(definition: KeypointDefinition) -> dict[str, Any]:
    """What the file of a measured definition of a right hand holds, to be written as JSON beside
    the digest of its mesh, `v_template_sha256`."""
    used = [row != 0 for row in definition.weights]
    view = definition.view_offsets
    return {
        "name": definition.name,
        "vertices": [v[u].tolist() for v, u in zip(definition.vertices, used, strict=True)],
        "weights": [
            np.round(w[u], 5).tolist() for w, u in zip(definition.weights, used, strict=True)
        ],
        "offsets": np.round(definition.offsets, 5).tolist(),
        "view_offsets": None if view is None else np.round(view, 5).tolist(),
    }


def mesh_digest(v_template: np.ndarray) -> str:
    """Hexadecimal SHA-256 of a right hand's template (V, 3), by which a mesh is known."""
    return hashlib.sha256(np.ascontiguousarray(v_template).tobytes()).hexdigest()


def padded(rows: list, values: list) -> tuple[np.ndarray, np.ndarray]:
    """Lists of indices and of weights as arrays (N, M), filled up with zeros."""
    width = max(len(row) for row in rows)
    index = np.zeros((len(rows), width), np.int64)
    weights = np.zeros((len(rows), width))
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        index[i, : len(row)] = row
        weights[i, : len(value)] = value
    return index, weights


@dataclass(frozen=True)
class KeypointScatter:
    """How a detector's output scatters about the truth: float64 tensors, C levels of confidence.

    Standard deviations are those of the Gaussian with the measured median, so tails do not count.
    Positions and depths are crop units: shares of the square crop's side, `keypoint_fit.normalise`.

    Attributes:
        confidence: (C,) rising.
        position: (21, C) of x, and of y.
        depth_line: (20, 4) the true depth relative to the wrist, along the line of sight, for the
            detector's, all keypoints but the wrist: coefficients of `on_line`.
        depth: (20, C) of the true depth about that.
        tilt_line: (20, 4) the true tilt of a bone toward the line of sight for the detector's.
        bones: (20, C) radians, of each of the two angles between a bone's true direction and
            `expected_bones`, by the product of the confidences of its ends.
    """

    confidence: Tensor
    position: Tensor
    depth_line: Tensor
    depth: Tensor
    tilt_line: Tensor
    bones: Tensor

    @classmethod
    def load(cls, path: Path = MEDIAPIPE_SCATTER) -> Self:
        """Read a measured scatter.

        Raises:
            InputError: the file is missing, or lacks a field.
        """
        content = _read_json(path, "a keypoint scatter")
        try:
            return cls(
                **{
                    field.name: torch.tensor(content[field.name], dtype=torch.float64)
                    for field in fields(cls)
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "definition.fields", file=path, expected="a keypoint scatter", reason=repr(error)
            ) from error

    def expected_depth(self, depth: Tensor, bones: Tensor) -> Tensor:
        """(B, 21) the likeliest true depth relative to the wrist, crop units.

        Args:
            depth: (B, 21) the detector's, crop units.
            bones: (B, 20, 3) its unit bone directions, view frame.
        """
        line = self.depth_line.to(depth)
        behind = on_line(line, depth[:, 1:] - depth[:, :1], facing(bones))
        return torch.cat([torch.zeros_like(depth[:, :1]), behind], 1)

    def expected_bones(self, bones: Tensor) -> Tensor:
        """(B, 20, 3) the likeliest true bone directions for the detector's, view frame."""
        return tilted(bones, self.tilt_line.to(bones))[0]

    def at(self, table: Tensor, confidence: Tensor) -> Tensor:
        """(B, N) a table (N, C) of this record at confidences (B, N): linear between its levels,
        constant beyond them."""
        knots = self.confidence.to(confidence)
        high = torch.searchsorted(knots, confidence.contiguous()).clamp(1, len(knots) - 1)
        share = (confidence - knots[high - 1]) / (knots[high] - knots[high - 1])
        rows = table.to(confidence).expand(len(confidence), -1, -1)
        low_value = rows.gather(-1, (high - 1)[..., None])[..., 0]
        high_value = rows.gather(-1, high[..., None])[..., 0]
        return torch.lerp(low_value, high_value, share.clamp(0, 1))


def palm_normal(bones: Tensor) -> Tensor:
    """(B, 3) unit vector out of a right hand's palm: across the bones (B, 20, 3) from the wrist to
    the knuckles of index and little finger; zero where these lie on one line."""
    return normalize(torch.linalg.cross(bones[:, 4], bones[:, 16]), dim=-1)


def facing(bones: Tensor) -> Tensor:
    """(B,) from -1, a right hand's palm toward the camera, to 1, its back: the z component of
    `palm_normal` of bones (B, 20, 3), view frame."""
    return palm_normal(bones)[:, 2]


def on_line(line: Tensor, x: Tensor, side: Tensor) -> Tensor:
    """(B, N) ``(a + d f) x + b + c f`` for lines (N, 4) of (a, b, c, d), x (B, N) and the hands'
    facing f (B,)."""
    side = side[:, None]
    return (line[:, 0] + line[:, 3] * side) * x + line[:, 1] + line[:, 2] * side


def tilted(bones: Tensor, line: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bones with the tilt that a line gives them, and the axes across them.

    Args:
        bones: (B, 20, 3) unit directions, view frame.
        line: (20, 4) of the angle between bone and image plane, see `on_line`.

    Returns:
        Three times (B, 20, 3) unit vectors: the bone, its tilt changed, and two directions across
        it: that of growing tilt, away from the camera, and that within the image plane.
    """
    tilt = on_line(line, bones[..., 2].clamp(-1, 1).asin(), facing(bones))
    tilt = tilt.clamp(-torch.pi / 2, torch.pi / 2)
    direction = torch.atan2(bones[..., 1], bones[..., 0])
    flat, away = tilt.cos(), tilt.sin()
    x, y = direction.cos(), direction.sin()
    return (
        torch.stack([flat * x, flat * y, away], -1),
        torch.stack([-away * x, -away * y, flat], -1),
        torch.stack([-y, x, torch.zeros_like(x)], -1),
    )


def _check_vertices(name: str, expected: int, data: HandModelData) -> None:
    if len(data.v_template) != expected:
        raise InputError(
            "definition.model_vertices",
            file=f"keypoint definition {name}",
            expected=expected,
            model=data.name,
            found=len(data.v_template),
        )


def _read_json(path: Path, expected: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            "definition.unreadable", file=path, expected=expected, reason=str(error)
        ) from error
    if not isinstance(content, dict):
        raise InputError("definition.no_table", file=path, expected=expected)
    return content
