"""Write NIMBLE's files on the open hand: `python scripts/build_nimble_fixture.py --out DIR`.

NIMBLE itself comes from its authors, to users who have registered. This writes files of exactly its
layout, and by default its sizes, so that everything that works on them can be tried and tested:
skin, appearance and poses are the open hand's, bones and muscles are built inside it (see
`nimble_fixture_inside`). Beside them it writes a MANO_RIGHT.pkl of the same hand, in MANO's layout
and number of vertices, to which NIMBLE_MANO_VREG.pkl maps. Same arguments, same files.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse
from nimble_fixture_inside import Bodies, Rig, bones, muscles
from nimble_fixture_skin import (
    closest_on_faces,
    place_of,
    sampled,
    sized_skin,
    vertex_normals,
)
from nimble_fixture_textures import textures
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from fitter.conventions import FINGERTIP_VERTICES, JOINT_NAMES, KEYPOINT_ORDERS, PARENTS
from fitter.hand_models import anatomy_of, load_open_hand, load_pose_prior
from fitter.hand_models.nimble.face_uv import uv_lines
from fitter.hand_models.nimble.files import (
    DICT_FILE,
    FUV_FILE,
    POSE_COMPONENTS,
    SHAPE_COMPONENTS,
    TEXTURE_FILE,
    VREG_FILE,
)
from fitter.hand_models.pose_prior import pose_pca
from fitter.hand_models.skeleton import NIMBLE_SKELETON as RIG

MANO_FILE, MANO_VERTICES, REPEATS = "MANO_RIGHT.pkl", 778, 20
INSIDE_DEPTH = 0.0015
"""Metres of the skin's inner vertices below its surface."""
FALL_OFF = 0.012
"""Metres over which a pose blend shape fades from its joint."""


@dataclass(frozen=True)
class FixtureOptions:
    """What is written.

    Attributes:
        bones, muscles, skin: numbers of vertices; surface: of those of the skin on its surface.
        texture: texels of a texture's side.
        shift: how far the rig's joints lie off MANO's, see `nimble_fixture_inside.BACK`.
        blend: metres by which pose blend shapes move the skin for each unit.
        unit: of lengths in the file, "mm" as NIMBLE's look, or "m".
        order: of the rows of jreg_mano, a name of `fitter.conventions.KEYPOINT_ORDERS`.
        seed: of what is random.
    """

    bones: int = 3345
    muscles: int = 5635
    skin: int = 5990
    surface: int = 4994
    texture: int = 1024
    shift: float = 1.0
    blend: float = 0.0003
    unit: Literal["mm", "m"] = "mm"
    order: str = "mano_tips"
    seed: int = 0

    @classmethod
    def scaled(cls, scale: float, **others: Any) -> FixtureOptions:
        """NIMBLE's sizes times a factor, textures by its root."""
        whole = cls()
        sizes = {
            k: round(scale * getattr(whole, k)) for k in ("bones", "muscles", "skin", "surface")
        }
        return cls(**{**sizes, "texture": round(scale**0.5 * whole.texture), **others})


@dataclass(frozen=True)
class Hand:
    """All vertices of the fixture, V = bones, muscles, skin, at rest, metres.

    Attributes:
        points: (V, 3); normals: (V, 3) outward, of the skin's surface, 0 inside.
        shapedirs: (V, 3, 10) the open hand's shape space; weights: (V, 25).
    """

    points: np.ndarray
    normals: np.ndarray
    shapedirs: np.ndarray
    weights: np.ndarray


class Fixture:
    """The parts of the fixture, built one from the other."""

    def __init__(self, options: FixtureOptions) -> None:
        self.options = options
        self.data = load_open_hand(keypoint_offsets=False)
        self.rig = Rig.of(self.data, options.shift)
        self.outside = sized_skin(self.data, options.surface, self.data.tip_vertices)
        outer = self.outside(self.data.v_template)
        everywhere = sampled(outer, self.outside.faces)
        self.bones = bones(self.rig, everywhere, options.bones)
        self.muscles = muscles(self.rig, everywhere, options.muscles)
        # Inner vertices stand between the outer ones, so that nobody takes the mask for a slice.
        inner = options.skin - options.surface
        self.surface = np.ones(options.skin, bool)
        self.surface[np.linspace(1, options.skin - 2, inner).astype(int)] = False
        self.row = np.flatnonzero(self.surface)  # of each outer vertex in the skin
        self.above = np.linspace(0, options.surface - 1, inner).astype(int)
        self.hand = self._hand(outer)

    def write(self, folder: Path) -> None:
        """Write all files into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        mano_file, mano_points = self.mano()
        content = {
            DICT_FILE: self.geometry(),
            TEXTURE_FILE: textures(self.data, self.options.texture),
            VREG_FILE: self.mano_map(mano_points),
            FUV_FILE: list(uv_lines(self.outside.uv, self.faces, self.outside.uv_faces)),
            MANO_FILE: mano_file,
        }
        for name, value in content.items():
            with (folder / name).open("wb") as file:
                pickle.dump(value, file, protocol=4)

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) of the skin, among its own vertices."""
        return self.row[self.outside.faces]

    def spread(self, outer: np.ndarray) -> np.ndarray:
        """(skin, ...) of values of the outer vertices; an inner one has that of the one above."""
        values = np.empty((self.options.skin, *outer.shape[1:]), outer.dtype)
        values[self.row] = outer
        values[~self.surface] = outer[self.above]
        return values

    def geometry(self) -> dict[str, Any]:
        """What NIMBLE_DICT_9137.pkl holds."""
        options, hand = self.options, self.hand
        scale = 1000.0 if options.unit == "mm" else 1.0
        bone, skin = options.bones, options.bones + options.muscles
        faces = [self.bones.faces, self.muscles.faces, self.faces]
        order = np.argsort(KEYPOINT_ORDERS[options.order])
        shape = self._shape_space()
        vert = (hand.points - np.einsum("s,svc->vc", shape["mean"], shape["basis"])) * scale
        return {
            "vert": vert.astype(np.float32),
            "face": np.concatenate([f + o for f, o in zip(faces, (0, bone, skin), strict=True)]),
            "bone_v_sep": bone,
            "skin_v_sep": skin,
            "bone_f": faces[0],
            "muscle_f": faces[1],
            "skin_f": faces[2],
            "all_sw": hand.weights.astype(np.float32),
            "all_pbs": (self._pose_blend() * scale).astype(np.float32),
            "jreg_bone": self._bone_regressor().astype(np.float32),
            "jreg_mano": self._keypoint_regressor()[order].astype(np.float32),
            "shape_basis": (shape["basis"] * scale)
            .reshape(len(shape["basis"]), -1)
            .astype(np.float32),
            "shape_pm_std": shape["std"].astype(np.float32),
            "shape_pm_mean": shape["mean"].astype(np.float32),
            **self._pose_space(),
            "skin_v_surface_mask": self.surface,
            "skin_v_gd": (self._distances() * scale).astype(np.float32),
        }

    def mano_map(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """What NIMBLE_MANO_VREG.pkl holds: where points (778, 3) lie, 20 times, each a little off,
        so that only the mean is right."""
        outer = self.hand.points[-self.options.skin :][self.row]
        face, bary = closest_on_faces(points, outer, self.outside.faces)
        rng = np.random.default_rng(self.options.seed)
        off = rng.normal(0, 0.02, (REPEATS // 2, len(points), 3))
        off -= off.mean(axis=-1, keepdims=True)
        return {
            "lmk_faces_idx": np.tile(face, (REPEATS, 1)),
            "lmk_bary_coords": (bary + np.concatenate([off, -off])).astype(np.float32),
        }

    def mano(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What MANO_RIGHT.pkl holds, the same hand in MANO's layout, and its vertices (778, 3)."""
        data = self.data
        skin = sized_skin(data, MANO_VERTICES, data.tip_vertices)
        # Tips stand where `FINGERTIP_VERTICES` looks for them.
        tips = place_of(skin, data.tip_vertices)
        others = iter(sorted(set(range(MANO_VERTICES)) - set(tips)))
        there = dict(zip(FINGERTIP_VERTICES["smplx"], tips, strict=True))
        order = np.array([there[k] if k in there else next(others) for k in range(MANO_VERTICES)])
        place = np.argsort(order)
        points = skin(data.v_template)[order]
        shapedirs = skin(data.shapedirs)[order]
        parents = np.array([2**32 - 1, *PARENTS[1:]], np.uint32)
        return {
            "v_template": points,
            "f": place[skin.faces].astype(np.uint32),
            "shapedirs": shapedirs,
            "posedirs": np.zeros((MANO_VERTICES, 3, 135)),
            "weights": skin(data.skin_weights)[order],
            "J_regressor": self._carried_regressor(points, shapedirs),
            "kintree_table": np.stack([parents, np.arange(16, dtype=np.uint32)]),
            "hands_mean": data.hands_mean,
            "hands_components": data.hands_components,
        }, points

    def _hand(self, outer: np.ndarray) -> Hand:
        data = self.data
        skin_weights = self._rig_weights(outer, self.outside(data.skin_weights))
        normals = vertex_normals(outer, self.outside.faces)
        points = self.spread(outer)
        points[~self.surface] -= INSIDE_DEPTH * self.spread(normals)[~self.surface]
        moved = self.rig.displacements(data)
        inner = [self._carried_body(body, moved) for body in (self.bones, self.muscles)]
        count = self.options.bones + self.options.muscles
        bone_weights = np.eye(RIG.count)[self.bones.joint]
        return Hand(
            points=np.concatenate([self.bones.points, self.muscles.points, points]),
            normals=np.concatenate([np.zeros((count, 3)), self.spread(normals)]),
            shapedirs=np.concatenate([*inner, self.spread(self.outside(data.shapedirs))]),
            weights=np.concatenate(
                [
                    bone_weights,
                    self._muscle_weights(outer, skin_weights),
                    self.spread(skin_weights),
                ]
            ),
        )

    def _carried_body(self, body: Bodies, moved: np.ndarray) -> np.ndarray:
        """(N, 3, 10) how a body follows the shape: as the ends of its bone do."""
        after = {parent: joint for joint, parent in enumerate(RIG.parents) if parent > 0}
        after[0] = RIG.names.index("middle_cmc")
        end = np.array([after[joint] for joint in body.joint])
        share = body.along[:, None, None]
        return (1 - share) * moved[body.joint] + share * moved[end]

    def _rig_weights(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(P, 25) of the open hand's (P, 16): fingers keep theirs by name, and the palm's go over
        from the wrist to the nearest metacarpals toward the knuckles."""
        rig = np.zeros((len(points), RIG.count))
        for column, name in enumerate(JOINT_NAMES):
            rig[:, RIG.names.index(name)] = weights[:, column]
        near, along = [], []
        columns = [RIG.names.index(f"{f}_cmc") for f in ("index", "middle", "ring", "little")]
        for joint in columns:
            start, stop = self.rig.points[joint], self.rig.points[joint + 1]
            axis = stop - start
            t = (points - start) @ axis / (axis @ axis)
            nearest = start + np.clip(t, 0, 1)[:, None] * axis
            near.append(np.exp(-((np.linalg.norm(points - nearest, axis=1) / 0.012) ** 2)))
            along.append(t)
        share = np.stack(near, 1) + 1e-12
        t = np.clip((np.stack(along, 1) - 0.1) / 0.6, 0, 1)
        share = share / share.sum(1, keepdims=True) * t * t * (3 - 2 * t)
        rig[:, columns] = share * weights[:, :1]
        rig[:, 0] = weights[:, 0] - rig[:, columns].sum(1)
        return rig

    def _muscle_weights(self, outer: np.ndarray, skin_weights: np.ndarray) -> np.ndarray:
        """(M, 25): half with the bone, half as the skin above."""
        distance, near = cKDTree(outer).query(self.muscles.points, k=8)
        share = 1 / (distance + 1e-4)
        share /= share.sum(axis=1, keepdims=True)
        above = np.einsum("mk,mkj->mj", share, skin_weights[near])
        return 0.5 * above + 0.5 * np.eye(RIG.count)[self.muscles.joint]

    def _shape_space(self) -> dict[str, np.ndarray]:
        """Basis (20 + 2, V, 3) of unit rows, metres, means and deviations: the open hand's ten, ten
        smooth random ones, and two more that a reader leaves aside."""
        rng = np.random.default_rng([self.options.seed, 1])
        points, own = self.hand.points, self.hand.shapedirs.shape[2]
        further = []
        for _ in range(SHAPE_COMPONENTS + 2 - own):
            centres = points[rng.integers(0, len(points), 6)]
            pushes = rng.normal(0, 0.0004, (6, 3))
            distance = np.linalg.norm(points[:, None] - centres, axis=-1)
            further.append(np.exp(-((distance / 0.04) ** 2)) @ pushes)
        whole = np.concatenate([self.hand.shapedirs.transpose(2, 0, 1), np.stack(further)])
        std = np.linalg.norm(whole.reshape(len(whole), -1), axis=1)
        mean = 0.2 * std * np.resize([1, -1], len(std))
        mean[SHAPE_COMPONENTS:] = 0
        return {"basis": whole / std[:, None, None], "std": std, "mean": mean}

    def _pose_space(self) -> dict[str, np.ndarray]:
        """PCA of the pose prior on the rig, and components of the metacarpals, by deviation."""
        prior = load_pose_prior()
        mean, components = pose_pca(prior, anatomy_of(self.data).axes)
        columns = [RIG.pose_names.index(name) for name in JOINT_NAMES[1:]]
        count = 3 * RIG.rotations
        places = (3 * np.array(columns)[:, None] + np.arange(3)).ravel()
        basis = np.zeros((count, count))
        basis[: len(components), places] = components
        rest = np.setdiff1d(np.arange(count), places)
        basis[len(components) :][np.arange(len(rest)), rest] = 1
        std = np.concatenate([prior.std, np.full(len(rest), 0.02)])
        order = np.argsort(-std, kind="stable")
        basis, std = basis[order], std[order]
        centre = 0.1 * std * np.resize([1, -1], count)
        pose_mean = np.zeros(count)
        pose_mean[places] = mean
        pose_mean -= centre[:POSE_COMPONENTS] @ basis[:POSE_COMPONENTS]
        arrays = {"basis": basis, "mean": pose_mean, "pm_std": std, "pm_mean": centre}
        return {f"pose_{name}": array.astype(np.float32) for name, array in arrays.items()}

    def _pose_blend(self) -> np.ndarray:
        """(V, 3, 171): around each joint the skin moves out and in as it bends."""
        rng = np.random.default_rng([self.options.seed, 2])
        columns = []
        for joint in RIG.rotating:
            distance = np.linalg.norm(self.hand.points - self.rig.points[joint], axis=1)
            outward = np.exp(-((distance / FALL_OFF) ** 2))[:, None] * self.hand.normals
            columns.append(outward[..., None] * rng.uniform(-1, 1, 9) * self.options.blend)
        return np.concatenate(columns, axis=-1)

    def _bone_regressor(self) -> np.ndarray:
        """(25, B): each joint as a combination of the vertices of the bone that starts there, or of
        the one that ends there."""
        regressor = np.zeros((RIG.count, self.options.bones))
        for joint, name in enumerate(RIG.names):
            ends = name.endswith("_tip")
            own = np.flatnonzero(self.bones.joint == (RIG.parents[joint] if ends else joint))
            along, points = self.bones.along[own], self.bones.points[own]
            known = np.concatenate([points, along[:, None], np.ones((len(own), 1))], axis=1)
            wanted = np.array([*self.rig.points[joint], float(ends), 1.0])
            regressor[joint, own] = np.linalg.lstsq(known.T, wanted, rcond=None)[0]
        return regressor / regressor.sum(axis=1, keepdims=True)

    def _keypoint_regressor(self) -> np.ndarray:
        """(21, skin) canonical keypoints: the open hand's joints and tips."""
        outer = self.outside(self.data.v_template)
        rows = self._carried_regressor(outer, self.outside(self.data.shapedirs))
        tips = np.eye(len(outer))[place_of(self.outside, self.data.tip_vertices)]
        whole = np.zeros((21, self.options.skin))
        whole[:, self.row] = np.concatenate([rows, tips])[list(KEYPOINT_ORDERS["mano_tips"])]
        return whole

    def _carried_regressor(self, points: np.ndarray, shapedirs: np.ndarray) -> np.ndarray:
        """(16, P) the open hand's joints as combinations of other vertices of its surface, exact at
        rest for every shape: as near as can be to its own regressor's places."""
        assert self.data.joint_regressor is not None
        known = np.concatenate(
            [points.T, shapedirs.reshape(len(points), -1).T, np.ones((1, len(points)))]
        )
        template = self.data.v_template
        _, near = cKDTree(points).query(template)
        moved = scipy.sparse.coo_matrix(
            (np.ones(len(template)), (np.arange(len(template)), near)), (len(template), len(points))
        )
        rows = []
        for own in self.data.joint_regressor:
            first = own @ moved
            wanted = np.concatenate(
                [own @ template, (own @ self.data.shapedirs.reshape(len(own), -1)), [own.sum()]]
            )
            place = np.linalg.norm(points - own @ template, axis=1)
            # Vertices far from the joint take no part in the correction.
            share = np.exp(-((place / max(0.012, np.sort(place)[40])) ** 2))
            scaled = known * share
            rest = np.linalg.lstsq(scaled, wanted - known @ first, rcond=None)[0]
            rows.append(first + share * rest)
        return np.stack(rows)

    def _distances(self) -> np.ndarray:
        """(skin, skin) metres along the edges of the skin; inner vertices hang on outer ones."""
        points = self.hand.points[-self.options.skin :]
        sides = np.concatenate(
            [self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]
        )
        hung = np.stack([np.flatnonzero(~self.surface), self.row[self.above]], axis=1)
        edges = np.unique(np.sort(np.concatenate([sides, hung]), axis=1), axis=0)
        length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
        graph = scipy.sparse.coo_matrix((length, edges.T), (len(points), len(points)))
        return dijkstra(graph.tocsr(), directed=False)


def main() -> None:
    """Write the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--scale", type=float, default=1.0, help="of NIMBLE's sizes (default 1)")
    options = parser.parse_args()
    Fixture(FixtureOptions.scaled(options.scale)).write(options.out)
    files = sorted(path.name for path in options.out.iterdir())
    print(f"{options.out}: {', '.join(files)}")


if __name__ == "__main__":
    main()
