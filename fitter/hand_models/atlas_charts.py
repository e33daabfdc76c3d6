"""How the surface of a hand is cut into charts that can be laid flat: the palm's side and the back.

The cut runs along the sides of the fingers, where a texture's seam is seen least. What cannot be
laid flat in one piece is cut further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fitter.conventions import FINGERS
from fitter.hand_models.anatomy import FLEXION, TWIST, anatomy_of
from fitter.hand_models.model_data import HandModelData

_ISLAND = 0.02
"""Share of the faces up to which a piece of one side goes to the other one, which is around it."""

_ROUNDS = 8
"""How often the cut is straightened, at most."""

MOST_PIECES = 256
"""Pieces that a hand's surface may fall into; what is in more of them is no surface."""


@dataclass(frozen=True)
class Chart:
    """A connected piece of a surface, with rows of its own for its P points.

    Attributes:
        faces: (N,) faces of the mesh.
        corners: (N, 3) rows of `vertices` at the corners of the faces.
        vertices: (P,) vertices of the mesh. One that the piece touches twice, on either side of a
            cut, has two rows.
    """

    faces: np.ndarray
    corners: np.ndarray
    vertices: np.ndarray

    @property
    def border(self) -> np.ndarray:
        """(L, 2) rows of `vertices` of the directed edges that only one face has, unordered."""
        edges = _directed_edges(self.corners).reshape(-1, 2)
        low, high = edges.min(1), edges.max(1)
        _, place, count = np.unique(
            low * len(self.vertices) + high, return_inverse=True, return_counts=True
        )
        return edges[count[place] == 1]

    @property
    def is_disk(self) -> bool:
        """Whether it has one border and no handle, so that it can be laid flat in one piece."""
        border = self.border
        edges = (3 * len(self.faces) + len(border)) // 2
        return len(border) > 0 and len(self.vertices) - edges + len(self.faces) == 1


def palm_faces(data: HandModelData) -> np.ndarray:
    """(F,) bool: the faces on the palm's side of a right hand, those of the back being False.

    A point is on the palm's side of a bone if it lies where the bone's flexion leads; between bones
    the skin's weights decide. The line between the sides is straightened, and islands are given to
    the side around them.
    """
    rest = data.rest_joints.template
    axes = anatomy_of(data).axes
    bends = np.cross(axes[:, FLEXION], axes[:, TWIST])
    palm = bends.mean(0)
    toward = np.concatenate([palm[None] / np.linalg.norm(palm), bends])
    # Joints that do not rotate, such as the ends of the fingers, lie on the bone of their parent.
    toward = toward[list(data.skeleton.carriers)]
    beyond = np.einsum("vjx,jx->vj", data.v_template[:, None] - rest, toward)
    height = (data.skin_weights * beyond).sum(1)
    return _tidied(data.faces, height[data.faces].mean(1) > 0)


def pieces(faces: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(F,) which connected piece of equal label each of the faces (F, 3) is in, numbered by their
    first faces."""
    neighbours = _neighbours(faces)
    same = labels[neighbours[:, 0]] == labels[neighbours[:, 1]]
    return _pieces(len(faces), neighbours[same])


def charts(faces: np.ndarray, labels: np.ndarray) -> list[Chart]:
    """The connected pieces of equal label, in the order of their first face.

    Args:
        faces: (F, 3) vertices.
        labels: (F,) of each face; faces of a negative label are left out.
    """
    piece = pieces(faces, labels)
    # One pass over the faces, however many pieces there are.
    kept = np.flatnonzero(labels >= 0)
    kept = kept[np.argsort(piece[kept], kind="stable")]
    groups = np.split(kept, np.flatnonzero(np.diff(piece[kept])) + 1) if len(kept) else []
    return [_chart(faces, group) for group in groups]


def split(
    faces: np.ndarray, chart: Chart, positions: np.ndarray, fingers: np.ndarray
) -> list[Chart]:
    """A chart cut in two or more: fingers from the rest, or across the longest direction.

    Args:
        faces: (F, 3) of the mesh.
        chart: of at least two faces.
        positions: (V, 3) of the mesh's vertices.
        fingers: (F,) bool, the faces that are cut off where there are both.
    """
    labels = np.full(len(faces), -1)
    apart = _tidied(chart.corners, fingers[chart.faces])
    if apart.all() or not apart.any():
        centres = positions[faces[chart.faces]].mean(1)
        centred = centres - centres.mean(0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        half = np.argsort(np.argsort(along, kind="stable"), kind="stable") * 2 >= len(along)
        apart = _tidied(chart.corners, half)
        apart = half if apart.all() or not apart.any() else apart
    labels[chart.faces] = apart
    return charts(faces, labels)


def finger_faces(data: HandModelData) -> np.ndarray:
    """(F,) bool: the faces of the fingers beyond the webs between them.

    The thumb is no finger here. The cut crosses every finger at the same share of the bone after
    its knuckle: the least one at which no two fingers have an edge in common.
    """
    rest = data.rest_joints.template
    names = data.skeleton.names
    knuckles = [names.index(f"{finger}_mcp") for finger in FINGERS[1:]]
    every = range(data.skeleton.count)
    owned = [
        data.skin_weights[:, [data.skeleton.is_below(joint, knuckle) for joint in every]].sum(1)
        for knuckle in knuckles
    ]
    finger = np.argmax(np.stack([weight[data.faces].mean(1) for weight in owned]), 0)
    next_joints = [data.skeleton.parents.index(knuckle) for knuckle in knuckles]
    bones = rest[next_joints] - rest[knuckles]
    centres = data.v_template[data.faces].mean(1) - rest[knuckles][finger]
    along = (centres * bones[finger]).sum(1) / (bones[finger] ** 2).sum(1)
    neighbours = _neighbours(data.faces)
    between = neighbours[finger[neighbours[:, 0]] != finger[neighbours[:, 1]]]
    least = along[between].min(1)
    # Beside the bones of the hand, before the knuckles, many faces of two fingers touch.
    reached = least[(least > 0) & (least < 1)]
    cut = reached.max() if len(reached) else 0.0
    return along > cut


def _chart(faces: np.ndarray, group: np.ndarray) -> Chart:
    """The chart of some connected faces: corners are one point where an edge joins their faces."""
    corners = faces[group]
    count = 3 * len(group)
    joined = []
    for first, second, own, other in common_edges(corners):
        # The edge runs the other way round in its other face.
        joined += [(3 * first + own, 3 * second + (other + 1) % 3)]
        joined += [(3 * first + (own + 1) % 3, 3 * second + other)]
    pairs = np.array(joined, dtype=np.int64).reshape(-1, 2)
    points = _pieces(count, pairs)
    _, first_corner, rows = np.unique(points, return_index=True, return_inverse=True)
    return Chart(group, rows.reshape(-1, 3), corners.ravel()[first_corner])


def _directed_edges(faces: np.ndarray) -> np.ndarray:
    """(F, 3, 2) the edges of each face, from corner k to corner k + 1."""
    return np.stack([faces, np.roll(faces, -1, axis=1)], axis=2)


def common_edges(faces: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Face, other face, and the first corner of their common edge in either, of every edge that
    exactly two faces have, in opposite directions."""
    edges = _directed_edges(faces).reshape(-1, 2)
    real = edges[:, 0] != edges[:, 1]
    keys = edges.min(1) * (int(faces.max()) + 1) + edges.max(1)
    keys = np.where(real, keys, -1 - np.arange(len(keys)))
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[0]] - 1))
    counts = np.diff(starts, append=len(order))
    first, second = order[starts[counts == 2]], order[starts[counts == 2] + 1]
    opposite = (edges[first, 0] == edges[second, 1]) & (first // 3 != second // 3)
    first, second = first[opposite], second[opposite]
    parts = (first // 3, second // 3, first % 3, second % 3)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def _neighbours(faces: np.ndarray) -> np.ndarray:
    """(N, 2) faces with an edge in common that no third face has."""
    found = [(first, second) for first, second, _, _ in common_edges(faces)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _pieces(count: int, pairs: np.ndarray) -> np.ndarray:
    """(count,) which connected piece each thing is in, numbered by their first thing."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    piece = connected_components(graph, directed=False)[1]
    _, first, place = np.unique(piece, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first, kind="stable"), kind="stable")[place]


def _tidied(faces: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The sides (F,) bool with a straighter line between them and without islands."""
    return _without_islands(faces, _straightened(faces, side))


def _straightened(faces: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The sides, a face with two neighbours or more of the other one given to that one."""
    neighbours = _neighbours(faces)
    for _ in range(_ROUNDS):
        differs = side[neighbours[:, 0]] != side[neighbours[:, 1]]
        against = np.bincount(neighbours[differs].ravel(), minlength=len(faces))
        teeth = against >= 2
        # Two that stand side by side would only change places.
        beside = differs & teeth[neighbours].all(1)
        teeth[neighbours[beside].max(1)] = False
        if not teeth.any():
            break
        side = side ^ teeth
    return side


def _without_islands(faces: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The sides, small pieces given to the side around them, the smallest first."""
    neighbours = _neighbours(faces)
    for _ in range(MOST_PIECES):
        same = side[neighbours[:, 0]] == side[neighbours[:, 1]]
        piece = _pieces(len(faces), neighbours[same])
        sizes = np.bincount(piece)
        # An island is a piece beside a larger one of the other side.
        ends = piece[neighbours[~same]]
        ends = np.concatenate([ends, ends[:, ::-1]])
        islands = np.unique(ends[sizes[ends[:, 0]] < sizes[ends[:, 1]], 0])
        islands = islands[sizes[islands] <= _ISLAND * len(faces)]
        if not len(islands):
            break
        side = side ^ (piece == islands[np.argmin(sizes[islands])])
    return side
