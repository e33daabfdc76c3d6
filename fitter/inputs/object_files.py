"""Objects that the user gives beside the pictures: their meshes, and where they are.

`ObjectFolder` reads a folder that mirrors the pictures': the objects of ``a/b.jpg`` stand in
``a/b.json`` in it. Such a file is a list of objects, each as `fitter.inputs.object_poses` describes
it, or ``{"objects": [...], "K": ...}`` with the K of the picture's camera, which is then the
picture's where ``--intrinsics`` says nothing. Meshes may be shared: a relative path of one is below
the folder of the file that names it, or below the folder of all.

A picture without such a file has no known objects; an empty list says that there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.beside_files import BesideFolder, FolderCodes
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.digests import file_digest
from fitter.inputs.json_files import load_json
from fitter.inputs.object_poses import PosedIn, mesh_path, posed_object, require_in

_CONTENT = "objects"
_MOST_OFF = 1e-3
"""Share of the focal length by which two K of one camera may differ in digits that were cut."""


@dataclass(frozen=True)
class ObjectFolder(BesideFolder):
    """The objects of the pictures of a listing; see `BesideFolder`."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    codes: ClassVar[FolderCodes] = FolderCodes(
        no_folder="object.no_folder",
        not_a_folder="object.not_a_folder",
        unlistable="object.unlistable",
        is_the_image="object.is_the_image",
        none="object.none",
        shared="object.shared",
    )

    def intrinsics(self, name: str) -> np.ndarray | None:
        """(3, 3) float64 K that the file of a picture says, or None.

        Raises:
            InputError: the file cannot be read or is none of objects, or its K is none.
        """
        path = self.path_of(name)
        return None if path is None else _read(path)[1]

    def objects_of(self, picture: PosedIn) -> tuple[PosedObject, ...]:
        """The objects of a picture; empty for one without a file.

        Raises:
            InputError: the file cannot be read or is none of objects; one of them, its pose or its
                mesh cannot be used; the picture cannot show it; or the picture has another K than
                the file says.
        """
        path = self.path_of(picture.name)
        if path is None:
            return ()
        entries, matrix = _read(path)
        if matrix is not None:
            _require_same(matrix, picture, path)
        folders = (path.parent, self.folder)
        found = tuple(
            posed_object(entry, f"{path}, object {number}", folders)
            for number, entry in enumerate(entries)
        )
        require_in(picture, found, str(path))
        return found

    def digest(self, name: str) -> object:
        """What tells other objects of a picture from these, as JSON can hold it; None for a
        picture without a file. Never raises: whoever reads the objects says what is wrong."""
        path = self.path_of(name)
        if path is None:
            return None
        try:
            entries, _ = _read(path)
        except InputError:
            entries = []
        named = [entry.get("mesh") for entry in entries if isinstance(entry, Mapping)]
        folders = (path.parent, self.folder)
        meshes = [mesh_path(mesh, folders) for mesh in named if isinstance(mesh, str)]
        return [file_digest(path), [mesh_digest(mesh) for mesh in meshes]]


def mesh_digest(path: Path) -> str:
    """`file_digest` of a mesh, which many pictures may share: computed once for a file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return _digest(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, time: int) -> str:
    """Of a file of this size and time of change."""
    return file_digest(path)


def _read(path: Path) -> tuple[list[Any], np.ndarray | None]:
    """The entries of a file, not yet looked at, and its K."""
    content = load_json(path, _CONTENT)
    if isinstance(content, list):
        return content, None
    entries = content.get("objects") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(entries, list):
        raise InputError("object.layout", file=path, found=type(content).__name__)
    unknown = [key for key in content if key not in ("objects", "K")]
    if unknown:
        raise InputError("object.unknown_key", file=path, known="objects, K", found=unknown[0])
    matrix = content.get("K")
    return entries, None if matrix is None else check_intrinsics(matrix, f"{path}, K")


def _require_same(matrix: np.ndarray, picture: PosedIn, path: Path) -> None:
    """Refuse a pose in another camera: the same place in it is another one in the picture."""
    off = np.abs(matrix - picture.intrinsics).max()
    if off > _MOST_OFF * picture.intrinsics[0, 0]:
        raise InputError(
            "object.other_camera",
            file=path,
            image=picture.name,
            expected=np.round(picture.intrinsics, 2).tolist(),
            found=np.round(matrix, 2).tolist(),
        )
