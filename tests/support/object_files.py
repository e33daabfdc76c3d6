"""Meshes of objects and the files that place them, as users write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import trimesh

SIZE = (640, 480)
CAMERA = [[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]]
AHEAD = [0.0, 0.0, 0.6]
UPRIGHT = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def box(metres: float = 0.08) -> trimesh.Trimesh:
    """A cube around the origin."""
    return trimesh.creation.box((metres, metres, metres))


def open_box() -> trimesh.Trimesh:
    """A cube that lacks one of its twelve triangles."""
    whole = box()
    return trimesh.Trimesh(whole.vertices, whole.faces[1:], process=False)


def write_mesh(path: Path, mesh: trimesh.Trimesh | None = None) -> Path:
    """Written as its ending says; a cube without one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (box() if mesh is None else mesh).export(path)
    return path


def entry(mesh: str = "box.obj", **more: object) -> dict[str, object]:
    """An object in front of the camera."""
    return {"mesh": mesh, "rotation": UPRIGHT, "translation": AHEAD} | more


def write_objects(path: Path, content: object) -> Path:
    """The file of a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, default=np.ndarray.tolist))
    return path
