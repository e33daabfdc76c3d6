"""Cut the right hand out of the body mesh along an edge loop above the wrist, and cap it."""

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from open_hand_source import MakeHumanSource

CUT_ABOVE_WRIST = 0.0125
"""Metres above the wrist joint at which an edge loop of the forearm is searched for."""
ISLAND_MARGIN = 0.02
CAP_RADIUS = 0.05
"""Radius of the cap's disc in the UV square."""
PACKING_GRID = 256


@dataclass
class HandMesh:
    """The hand as linear combinations of body vertices.

    Attributes:
        body_ids: (M,) int, body vertices in use.
        combine: (V, M) sparse; hand vertices = combine @ body vertices. Skin vertices are copied,
            the cap's are means of the cut loop.
        faces: (F, 3) int, outward normals by the right-hand rule.
        uv: (T, 2) in [0, 1], OBJ convention.
        uv_faces: (F, 3) int, rows of `uv`.
        cap: (V,) bool, vertices that only the cap has.
    """

    body_ids: np.ndarray
    combine: scipy.sparse.csr_matrix
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    cap: np.ndarray


def edge_loops(quads: np.ndarray, near: set[int]) -> list[list[int]]:
    """Closed edge loops of a quad mesh through the vertices `near`: straight on at every vertex."""
    edge_faces, neighbours = defaultdict(set), defaultdict(set)
    for face, quad in enumerate(quads):
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            edge_faces[frozenset((a, b))].add(face)
            neighbours[a].add(b)
            neighbours[b].add(a)

    def straight_on(previous: int, current: int) -> int | None:
        behind = edge_faces[frozenset((previous, current))]
        ahead = [
            n
            for n in sorted(neighbours[current])
            if not behind & edge_faces[frozenset((n, current))]
        ]
        return ahead[0] if len(neighbours[current]) == 4 and len(ahead) == 1 else None

    loops = {}
    for start in sorted(near):
        for second in sorted(neighbours[start]):
            loop, following = [start, second], straight_on(start, second)
            while following is not None and following != start and len(loop) < 60:
                loop.append(following)
                following = straight_on(loop[-2], loop[-1])
            if following == start:
                loops.setdefault(frozenset(loop), loop)
    return list(loops.values())


def cut_hand(source: MakeHumanSource) -> HandMesh:
    """The right hand, closed at the wrist, with UVs renormalised to the unit square."""
    wrist = source.vertices[source.joint_cubes["joint-r-hand"]].mean(0)
    knuckle = source.vertices[source.joint_cubes["joint-r-finger-3-1"]].mean(0)
    forward = (knuckle - wrist) / np.linalg.norm(knuckle - wrist)
    skin = np.unique(source.quads)
    offset = source.vertices[skin] - wrist
    near = set(skin[(abs(offset @ forward) < 0.03) & (np.linalg.norm(offset, axis=1) < 0.06)])
    loops = edge_loops(source.quads, near)
    height = [np.mean((source.vertices[loop] - wrist) @ forward) for loop in loops]
    loop = loops[int(np.argmin(np.abs(np.array(height) + CUT_ABOVE_WRIST)))]

    tip = source.joint_cubes["joint-r-finger-3-4"]
    middle = source.vertices[tip].mean(0)
    seed = skin[np.argmin(np.linalg.norm(source.vertices[skin] - middle, axis=1))]
    kept = _faces_within(source.quads, loop, int(seed))
    return _cap(source, kept, loop)


def _faces_within(quads: np.ndarray, loop: list[int], seed: int) -> np.ndarray:
    """Rows of the quads that can be reached from `seed` without crossing the loop."""
    vertex_faces = defaultdict(list)
    for face, quad in enumerate(quads):
        for vertex in quad:
            vertex_faces[vertex].append(face)
    wall, seen, kept, front = set(loop), {seed}, set(), [seed]
    while front:
        for face in vertex_faces[front.pop()]:
            kept.add(face)
            fresh = [int(v) for v in quads[face] if v not in seen and v not in wall]
            seen.update(fresh)
            front += fresh
    return np.array(sorted(kept))


def _split(quads: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Triangles (2Q, 3) of quads (Q, 4), along corners 0-2 where `shorter`, else along 1-3."""
    first = np.where(shorter[:, None], quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    second = np.where(shorter[:, None], quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.stack([first, second], 1).reshape(-1, 3)


def _cap(source: MakeHumanSource, kept: np.ndarray, loop: list[int]) -> HandMesh:
    quads, quads_uv = source.quads[kept], source.quads_uv[kept]
    corners = source.vertices[quads]
    diagonals = [np.linalg.norm(corners[:, k] - corners[:, k + 2], axis=1) for k in (0, 1)]
    shorter = diagonals[0] <= diagonals[1]
    body_ids = np.unique(quads)
    triangles = np.searchsorted(body_ids, _split(quads, shorter))
    uv_ids, uv_triangles = np.unique(_split(quads_uv, shorter), return_inverse=True)

    # The loop is walked against the half-edges of the skin, so that the cap faces outward.
    ring = np.searchsorted(body_ids, loop)
    directed = {(a, b) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)}
    if (ring[0], ring[1]) in directed:
        ring = ring[::-1]
    count, skin = len(ring), len(body_ids)
    inner, centre = skin + np.arange(count), skin + count
    following = np.roll(np.arange(count), -1)
    cap_faces = np.concatenate(
        [
            np.stack([ring, ring[following], inner[following]], 1),
            np.stack([ring, inner[following], inner], 1),
            np.stack([inner, inner[following], np.full(count, centre)], 1),
        ]
    )
    mean = np.full((count, count), 1.0 / count)
    rows = np.concatenate([0.5 * np.eye(count) + 0.5 * mean, mean[:1]])
    cap_rows = scipy.sparse.lil_matrix((count + 1, skin))
    cap_rows[:, ring] = rows
    combine = scipy.sparse.vstack([scipy.sparse.identity(skin), cap_rows]).tocsr()

    angle = 2 * np.pi * np.arange(count) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    disc = CAP_RADIUS * np.concatenate([circle, circle / 2, [[0.0, 0.0]]])
    to_uv = np.full(skin + count + 1, -1)
    to_uv[ring] = len(uv_ids) + np.arange(count)
    to_uv[skin:] = len(uv_ids) + count + np.arange(count + 1)
    uv_faces = np.concatenate([uv_triangles.reshape(-1, 3), to_uv[cap_faces]])
    uv = _pack_islands(np.concatenate([source.uv[uv_ids], disc]), uv_faces, len(disc))
    return HandMesh(
        body_ids=body_ids,
        combine=combine,
        faces=np.concatenate([triangles, cap_faces]),
        uv=uv,
        uv_faces=uv_faces,
        cap=np.arange(skin + count + 1) >= skin,
    )


def _pack_islands(uv: np.ndarray, uv_faces: np.ndarray, disc: int) -> np.ndarray:
    """Scale the largest island to the unit square less a margin and set the others beside it.

    The other islands keep the largest one's scale if there is room for them; the last `disc` rows,
    the cap, are in units of the square already.
    """
    edges = np.concatenate([uv_faces[:, [0, 1]], uv_faces[:, [1, 2]]])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(len(uv),) * 2)
    _, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    islands = [np.flatnonzero(label == k) for k in np.argsort(-np.bincount(label))]
    cap = label[-1]
    scale = (1 - 2 * ISLAND_MARGIN) / np.ptp(uv[islands[0]], axis=0).max()
    packed = np.zeros_like(uv)
    taken = np.zeros((PACKING_GRID, PACKING_GRID), np.uint8)
    for island in islands:
        points = (uv[island] - uv[island].min(0)) * (1 if label[island[0]] == cap else scale)
        where = np.full(2, ISLAND_MARGIN)
        if island is not islands[0]:
            points, where = _find_room(points, taken)
        packed[island] = points + where
        for face in uv_faces[label[uv_faces[:, 0]] == label[island[0]]]:
            cv2.fillPoly(taken, [np.round(packed[face] * PACKING_GRID).astype(np.int32)], 1)
    return packed


def _find_room(points: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The island, shrunk as far as needed, and the corner at which its bounding box is free."""
    for shrink in 0.8 ** np.arange(8):
        width, height = np.ptp(points * shrink, axis=0) + 2 * ISLAND_MARGIN
        size = int(np.ceil(height * PACKING_GRID)), int(np.ceil(width * PACKING_GRID))
        windows = np.lib.stride_tricks.sliding_window_view(taken, size)
        free = np.argwhere(windows.max((2, 3)) == 0)
        if len(free):
            return points * shrink, free[0][::-1] / PACKING_GRID + ISLAND_MARGIN
    raise RuntimeError("no room left in the UV square")
