"""Fabricates model files in MANO's layout, as Python 2 with chumpy or as Python 3 wrote them."""

import contextlib
import pickle
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.sparse
import torch

from fitter.conventions import MIRROR_AXIS_ANGLE, PARENTS
from fitter.records import HandParams

N_VERTICES, N_FACES = 778, 1538
ROOT_PARENT = 2**32 - 1
MIRROR_POSITION = np.array([-1.0, 1.0, 1.0])
KNUCKLES = {0: 0.025, 1: 0.0, 2: -0.05, 3: -0.025, 4: 0.045}  # by finger, in MANO's order


def fabricate(
    seed: int = 0, n_vertices: int = N_VERTICES, n_faces: int = N_FACES
) -> dict[str, np.ndarray]:
    """A right hand in MANO's layout: a crowd of vertices about a hand's skeleton, random spaces.

    Numbers are exact in float32, to which smplx rounds what it reads.
    """
    rng = np.random.default_rng(seed)
    joints = np.zeros((16, 3))
    for joint in range(1, 16):
        finger, level = divmod(joint - 1, 3)
        reach = (0.03 if finger == 4 else 0.09) + 0.03 * level
        joints[joint] = (-reach, 0.0, KNUCKLES[finger])
    owner = np.arange(n_vertices) % 16
    vertices = joints[owner] + rng.normal(scale=0.008, size=(n_vertices, 3))
    regressor = np.zeros((16, n_vertices))
    regressor[owner, np.arange(n_vertices)] = 1.0
    regressor /= regressor.sum(axis=1, keepdims=True)
    distance = np.linalg.norm(vertices[:, None] - joints, axis=-1)
    weights = np.exp(-distance / 0.01)
    weights /= weights.sum(axis=1, keepdims=True)
    bend = np.tile([0.1, 0.05, 0.5], 15) + rng.normal(scale=0.05, size=45)
    arrays = {
        "v_template": vertices,
        "shapedirs": rng.normal(scale=0.003, size=(n_vertices, 3, 10)),
        "posedirs": rng.normal(scale=0.0005, size=(n_vertices, 3, 135)),
        "weights": weights,
        "J_regressor": regressor,
        "J": regressor @ vertices,
        "hands_mean": bend,
        "hands_components": rng.normal(scale=0.3, size=(45, 45)),
        "hands_coeffs": rng.normal(size=(20, 45)),
    }
    arrays = {key: array.astype(np.float32).astype(np.float64) for key, array in arrays.items()}
    arrays["f"] = rng.integers(0, n_vertices, (n_faces, 3)).astype(np.uint32)
    arrays["kintree_table"] = np.array([(ROOT_PARENT, *PARENTS[1:]), range(16)], np.uint32)
    return arrays


def left_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The other hand's rest pose and mean pose, with everything else as it is."""
    return {
        **arrays,
        "v_template": arrays["v_template"] * MIRROR_POSITION,
        "f": np.ascontiguousarray(arrays["f"][:, ::-1]),
        "hands_mean": arrays["hands_mean"] * np.tile(MIRROR_AXIS_ANGLE, 15),
    }


def random_params(
    batch: int, seed: int = 0, dtype: torch.dtype = torch.float64, n_betas: int = 10
) -> HandParams:
    """Rotations in any direction by up to pi, twice the usual shapes, up to half a metre off."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(batch, 16, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    rotations = torch.tensor(axes * rng.uniform(0, np.pi, (batch, 16, 1)), dtype=dtype)
    betas = torch.tensor(rng.normal(scale=2, size=(batch, n_betas)), dtype=dtype)
    transl = torch.tensor(rng.uniform(-0.5, 0.5, (batch, 3)), dtype=dtype)
    return HandParams(rotations[:, 0], rotations[:, 1:], betas, transl)


def layout(arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """What a MANO file holds, with the regressor as sparse columns and without chumpy."""
    return {
        **arrays,
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write_plain(path: Path, arrays: dict[str, np.ndarray], protocol: int = 4) -> Path:
    """As people re-save the file from Python 3."""
    path.write_bytes(pickle.dumps(layout(arrays), protocol))
    return path


def write_published(path: Path, arrays: dict[str, np.ndarray], protocol: int = 2) -> Path:
    """As published: Python 2 strings, SciPy's old module, chumpy's wrappers, shuffled shapedirs."""
    with fake_chumpy() as (ch, select):
        shapedirs = arrays["shapedirs"]
        order = np.random.default_rng(5).permutation(shapedirs.size)
        shuffled = np.empty(shapedirs.size)
        shuffled[order] = shapedirs.ravel()
        wrapped = {
            "shapedirs": select(
                a=ch(x=shuffled), idxs=order, preferred_shape=shapedirs.shape, _dirty_vars=set()
            ),
            "v_template": ch(x=arrays["v_template"], _dirty_vars={"x"}),
        }
        with path.open("wb") as file:
            Python2Pickler(file, protocol).dump({**layout(arrays), **wrapped})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"scipy.sparse._csc\n", b"scipy.sparse.csc\n"))
    return path


@contextlib.contextmanager
def fake_chumpy() -> Iterator[tuple[type, type]]:
    """Classes under chumpy's names for as long as a file is written."""

    def init(self, **attributes):
        self.__dict__.update(attributes)

    names = {"chumpy.ch": "Ch", "chumpy.reordering": "Select"}
    classes = []
    for module_name, class_name in names.items():
        module = types.ModuleType(module_name)
        kind = type(class_name, (), {"__init__": init, "__module__": module_name})
        setattr(module, class_name, kind)
        sys.modules[module_name] = module
        classes.append(kind)
    sys.modules["chumpy"] = types.ModuleType("chumpy")
    try:
        yield classes[0], classes[1]
    finally:
        for module_name in ("chumpy", *names):
            del sys.modules[module_name]


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's one string type."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def _save_string(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        if self.proto == 0:
            self.write(b"S" + repr(raw)[1:].encode("ascii") + b"\n")
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string
