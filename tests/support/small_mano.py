"""A file in MANO's layout and of MANO's size that is a hand: the open hand with fewer vertices."""

import heapq
from functools import cache
from pathlib import Path

import numpy as np

from fitter.conventions import FINGERTIP_VERTICES, PARENTS
from fitter.hand_models import HandModelData, load_open_hand
from tests.support.mano_files import N_VERTICES, ROOT_PARENT, write_plain


def write_small_mano(path: Path) -> Path:
    """The file of a right hand; its name has to say so."""
    return write_plain(path, small_mano())


@cache
def small_mano() -> dict[str, np.ndarray]:
    """The open hand on 778 of its vertices: same shapes, same skeleton, no pose blend shapes."""
    data = load_open_hand()
    faces, kept = decimated(data, N_VERTICES)
    order = with_tips_in_place(kept, data)
    places = np.full(len(data.v_template), -1)
    places[order] = np.arange(N_VERTICES)
    vertices, shapedirs = data.v_template[order], data.shapedirs[order]
    return {
        "v_template": vertices,
        "shapedirs": shapedirs,
        "posedirs": np.zeros((N_VERTICES, 3, 135)),
        "weights": data.skin_weights[order],
        "J_regressor": regressor(data, vertices, shapedirs),
        "hands_mean": data.hands_mean,
        "hands_components": data.hands_components,
        "f": places[faces].astype(np.uint32),
        "kintree_table": np.array([(ROOT_PARENT, *PARENTS[1:]), range(16)], np.uint32),
    }


def regressor(data: HandModelData, vertices: np.ndarray, shapedirs: np.ndarray) -> np.ndarray:
    """(16, V) that finds the open hand's joints, of every shape, from fewer vertices."""

    def columns(vertices: np.ndarray, shapedirs: np.ndarray) -> np.ndarray:
        ones = np.ones((len(vertices), 1))
        return np.concatenate([vertices, *shapedirs.transpose(2, 0, 1), ones], axis=1)

    known, full = columns(vertices, shapedirs), columns(data.v_template, data.shapedirs)
    return np.linalg.lstsq(known.T, (data.joint_regressor @ full).T, rcond=None)[0].T


def with_tips_in_place(kept: np.ndarray, data: HandModelData) -> np.ndarray:
    """The kept vertices in an order that puts the fingertips where MANO has them, and where
    FreiHAND takes other vertices for them, the ones beside."""
    tips = data.tip_vertices
    wanted = dict(zip(FINGERTIP_VERTICES["smplx"], tips, strict=True))
    for place, tip in zip(FINGERTIP_VERTICES["freihand"], tips, strict=True):
        free = np.setdiff1d(kept, [*wanted.values()])
        away = np.linalg.norm(data.v_template[free] - data.v_template[tip], axis=1)
        wanted.setdefault(place, int(free[away.argmin()]))
    others = iter(np.setdiff1d(kept, [*wanted.values()]).tolist())
    return np.array([wanted[p] if p in wanted else next(others) for p in range(len(kept))])


def decimated(data: HandModelData, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces of a mesh on `count` of its vertices, and these: the shortest edges collapse first,
    an end of theirs onto the other; borders and fingertips stay."""
    faces = {number: tuple(face) for number, face in enumerate(data.faces.tolist())}
    around: dict[int, set[int]] = {}
    for number, face in faces.items():
        for vertex in face:
            around.setdefault(vertex, set()).add(number)
    edges = np.sort(data.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, counts = np.unique(edges, axis=0, return_counts=True)
    fixed = {*pairs[counts == 1].ravel().tolist(), *data.tip_vertices}
    points = data.v_template
    queue = [(float(np.linalg.norm(points[a] - points[b])), a, b) for a, b in pairs.tolist()]
    heapq.heapify(queue)
    left = len(around)
    while left > count:
        _, a, b = heapq.heappop(queue)
        gone, stays = (a, b) if a not in fixed else (b, a)
        if gone in fixed or gone not in around or stays not in around:
            continue
        neighbours = {v for n in around[gone] for v in faces[n]} - {gone}
        shared = neighbours & ({v for n in around[stays] for v in faces[n]} - {stays})
        if stays not in neighbours or len(shared) != 2:
            continue
        for number in list(around[gone]):
            face = faces.pop(number)
            for vertex in face:
                around[vertex].discard(number)
            if stays not in face:
                moved = tuple(stays if vertex == gone else vertex for vertex in face)
                faces[number] = moved
                for vertex in moved:
                    around[vertex].add(number)
        del around[gone]
        left -= 1
        for vertex in neighbours - {stays}:
            length = float(np.linalg.norm(points[stays] - points[vertex]))
            heapq.heappush(queue, (length, *sorted((stays, vertex))))
    return np.array(list(faces.values())), np.array(sorted(around))
