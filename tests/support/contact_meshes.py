"""Meshes that may touch: balls of which everything is known, and hands of several models."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import trimesh
from torch import Tensor

from fitter.contact import Surface, closed
from fitter.hand_models import HandModel, load_hand_model
from fitter.records import HandParams
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano


def ball(centres: list[list[float]], radius: float = 0.02, fineness: int = 3) -> Surface:
    """Icospheres about some centres (B, 3), metres."""
    mesh = trimesh.creation.icosphere(fineness, radius)
    places = torch.tensor(centres, dtype=torch.float64)
    vertices = torch.from_numpy(np.array(mesh.vertices, float)) + places[:, None]
    return Surface(vertices, torch.from_numpy(np.array(mesh.faces, np.int64)))


def box(sides: tuple[float, float, float], place: tuple[float, float, float]) -> Surface:
    """One box, its sides along the axes."""
    mesh = trimesh.creation.box(sides)
    vertices = torch.from_numpy(np.array(mesh.vertices, float)) + torch.tensor(
        place, dtype=torch.float64
    )
    return Surface(vertices[None], torch.from_numpy(np.array(mesh.faces, np.int64)))


def opened(faces: Tensor, vertices: list[int]) -> Tensor:
    """The faces without those about some vertices: a mesh with a hole for each."""
    return faces[~torch.isin(faces, torch.tensor(vertices)).any(1)]


@cache
def hand(name: str) -> HandModel:
    """ "open_hand", "mano" (a fixture of its size) or "nimble" (a fixture), float64."""
    if name == "open_hand":
        return load_hand_model("open_hand", dtype=torch.float64)
    if name == "nimble":
        return load_hand_model(str(nimble_folder()), dtype=torch.float64)
    with TemporaryDirectory() as folder:
        path = write_small_mano(Path(folder) / "MANO_RIGHT.pkl")
        return load_hand_model(str(path), dtype=torch.float64)


def posed(name: str, batch: int, seed: int = 0, spread: float = 0.2) -> tuple[Surface, HandParams]:
    """Hands in some poses about the rest pose, in one place."""
    model = hand(name)
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    params = HandParams(
        spread * random(3),
        spread * random(model.skeleton.rotations, 3),
        random(model.shapedirs.shape[-1]),
        0.01 * random(3),
    )
    faces = closed(model.faces, len(model.v_template))
    return Surface(model(params).vertices.detach(), faces), params


def still(name: str, batch: int = 1) -> HandParams:
    """Hands at rest."""
    model = hand(name)
    zeros = [
        torch.zeros(batch, *shape, dtype=torch.float64)
        for shape in ((3,), (model.skeleton.rotations, 3), (model.shapedirs.shape[-1],), (3,))
    ]
    return HandParams(*zeros)


def crossed(name: str, batch: int = 2, turn: float = 0.5) -> HandParams:
    """Hands whose fingers were turned at random, over each other and into the palm."""
    params, model = still(name, batch), hand(name)
    generator = torch.Generator().manual_seed(0)
    shape = params.hand_pose.shape
    turns = turn * torch.randn(shape, generator=generator, dtype=torch.float64)
    named = [place for place, joint in enumerate(model.skeleton.pose_names) if "thumb" not in joint]
    params.hand_pose[:, named] = turns[:, named]
    return params
