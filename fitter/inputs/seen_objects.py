"""Objects of data sets as a run takes them: annotated poses, meshes from a folder of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitter.contact.records import ObjectMesh, PosedObject
from fitter.errors import InputError
from fitter.inputs.object_files import mesh_digest
from fitter.inputs.object_meshes import read_object_mesh
from fitter.inputs.object_poses import (
    PosedIn,
    check_rotation,
    check_translation,
    fault_in,
    require_camera,
)
from fitter.inputs.seen_images import SeenObject

_FILES = (
    "{name}/textured_simple.obj",
    "{name}/textured.obj",
    "{name}.obj",
    "{name}.ply",
    "{name}.glb",
    "{name}.stl",
)
"""Where a folder of meshes has an object, in the order in which it is looked for; the first is that
of HO-3D's and DexYCB's. The scans on YCB's own page are in other frames than these poses."""


def posed_objects(
    objects: Sequence[SeenObject], models: str, picture: PosedIn, where: str
) -> tuple[PosedObject, ...]:
    """The annotated objects that an image shows, in its camera; a rig sees things that one of its
    cameras does not.

    Args:
        objects: of the image.
        models: folder of their meshes; empty for the data set's own.
        picture: the image, with its K.
        where: what to name in messages.

    Raises:
        InputError: the mesh of one is missing or cannot be used, a pose is none, or the image
            has no K.
    """
    found = [annotated_object(seen, models, where) for seen in objects]
    require_camera(picture, found, where)
    return tuple(posed for posed in found if fault_in(picture, posed, where) is None)


def has_mesh(objects: Sequence[SeenObject], models: str) -> bool:
    """Whether there is the mesh of any object."""
    return any(_mesh_file(seen, models) is not None for seen in objects)


def digests(objects: Sequence[SeenObject], models: str) -> list[object]:
    """Poses of an image's objects and digests of their meshes, as JSON can hold them."""
    return [
        [
            seen.name,
            np.asarray(seen.rotation).tolist(),
            np.asarray(seen.translation).tolist(),
            None if (path := _mesh_file(seen, models)) is None else mesh_digest(path),
        ]
        for seen in objects
    ]


def annotated_object(seen: SeenObject, models: str, where: str) -> PosedObject:
    """One of an image's objects; arguments and errors as of `posed_objects`."""
    path = _mesh_file(seen, models)
    if path is None:
        raise InputError("dataset.no_mesh", file=where, name=seen.name)
    # Scans as they are published have holes.
    mesh = read_object_mesh(path, "holes")
    rotation = check_rotation(seen.rotation, f"{where}, {seen.name}")
    translation = check_translation(seen.translation, f"{where}, {seen.name}")
    return PosedObject(ObjectMesh(seen.name, mesh.vertices, mesh.faces), rotation, translation)


def _mesh_file(seen: SeenObject, models: str) -> Path | None:
    if not models:
        return seen.mesh
    name = Path(seen.name).name
    paths = (Path(models) / file.format(name=name) for file in _FILES)
    return next((path for path in paths if path.is_file()), None)
