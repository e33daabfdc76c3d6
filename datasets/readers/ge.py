"""The real-world test set of Ge et al., "3D Hand Shape and Pose Estimation", CVPR 2019.

    params.mat  pose_gt.mat  images/%05d.jpg  real_hand_3D_mesh/%05d.obj

The images are square crops. ``params.mat`` names them and says of each the camera of the whole
image (fx, fy, u0, v0) and the crop in it (x, y, width, height); ``pose_gt.mat`` has 21 keypoints of
each in centimetres, in the camera and in canonical order; the meshes, a download of their own, are
in the same frame and unit and have an arm that does not count. So the public code reads them,
github.com/3d-hand-shape/hand-graph-cnn, ``hand_shape_pose/data/dataset/real_world_testset.py``,
``data/view_realworld_data.py`` and ``data/utils.py``.

All hands are left ones: no file says so, but the keypoints of all 583 do, whose fingers bend to the
palm of a left hand.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import member, numbers, require_file, require_folder, require_size
from datasets.readers.parameters import matrix_of_focal, project
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics

_DATASET = "Ge et al.'s real set"
_SIDE = 256
"""Pixels of the images' sides, which no file says."""
_CENTIMETRE = 1e-2
_FILES = {"cam_param": "params.mat", "bbox": "params.mat", "pose_gt": "pose_gt.mat"}
"""The file of each array that has a row for an image."""
_MOST_BYTES = 2**26
"""That a file may take unpacked, many times what the published ones do."""
_CHUNK = 2**20
_MAT_HEADER, _MAT_COMPRESSED = 128, 15
"""Of a file of MATLAB's: bytes of the header, and the type of a compressed element."""
_ARM = slice(473, 529)
"""Vertices of the meshes that are the arm's."""


@dataclass(frozen=True)
class Ge(AnnotatedImages):
    """The real set. Build it with `open_ge`.

    Attributes:
        cameras: (N, 4) fx, fy, u0, v0 of the whole images, pixels.
        crops: (N, 4) x, y, width, height in them, pixels.
        keypoints: (N, 21, 3) metres in the camera.
    """

    root: Path
    split: str
    names: Sequence[str]
    cameras: np.ndarray
    crops: np.ndarray
    keypoints: np.ndarray
    dataset: str = "ge"
    definition: AnnotatedDefinition = "ge"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; positions in the image are the projected ones."""
        name = self.names[place]
        fx, fy, u0, v0 = self._row(place, "cam_param", self.cameras)
        x, y, width, _ = crop = self._row(place, "bbox", self.crops)
        points = self._row(place, "pose_gt", self.keypoints)
        if width <= 0:
            raise InputError(
                "dataset.values",
                file=self.root / "params.mat",
                key=f"bbox, entry {place}",
                expected="x, y, width and height above 0",
                found=crop.tolist(),
            )
        zoom = np.diag([_SIDE / width, _SIDE / width, 1.0])
        K = zoom @ matrix_of_focal(fx, fy, u0 - x, v0 - y)
        hand = AnnotatedHand(
            side="left",
            keypoints_2d=project(points, K),
            keypoints_3d=points,
            vertices=self._vertices(name),
        )
        where = f"{self.root / 'params.mat'}, entry {place}"
        return Annotation(name, check_intrinsics(K, where), (hand,), size=(_SIDE, _SIDE))

    def _row(self, place: int, key: str, rows: np.ndarray) -> np.ndarray:
        """What an array has of image `place`."""
        path = self.root / _FILES[key]
        if place >= len(rows):
            raise InputError(
                "dataset.no_entry", file=path, found=len(rows), image=self.names[place]
            )
        return numbers(rows[place], rows.shape[1:], path, f"{key}, entry {place}")

    def _vertices(self, name: str) -> np.ndarray | None:
        path = self.root / "real_hand_3D_mesh" / f"{Path(name).stem}.obj"
        if not path.is_file():
            return None
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError("dataset.unreadable", file=path, reason=str(error)) from error
        given = [line.split()[1:4] for line in lines if line.startswith("v ")]
        vertices = numbers(given, (-1, 3), path, "vertices")
        return np.delete(vertices, np.arange(len(vertices))[_ARM], axis=0) * _CENTIMETRE


def open_ge(root: Path, split: str) -> Ge:
    """Open the set.

    Args:
        root: folder that holds ``params.mat`` and the rest.
        split: there is only one; ``test`` or nothing.

    Raises:
        InputError: the folder or a file is missing, or a file is none of MATLAB's, or lacks an
            array; or another split is asked for.
    """
    if split not in ("", "test"):
        raise InputError("dataset.split", file=root, dataset="ge", known="test", found=split)
    root = require_folder(root, _DATASET)
    require_folder(root / "images", _DATASET)
    params = root / _FILES["bbox"]
    tables = {name: _read(root / name) for name in dict.fromkeys(_FILES.values())}
    names = np.ravel(member(tables[params.name], "image_path", params))

    def rows(key: str, *shape: int) -> np.ndarray:
        path = root / _FILES[key]
        return numbers(member(tables[path.name], key, path), (-1, *shape), path, key, finite=False)

    return Ge(
        root=root,
        split="test",
        names=tuple(str(name).strip() for name in names),
        cameras=rows("cam_param", 4),
        crops=rows("bbox", 4),
        keypoints=_CENTIMETRE * rows("pose_gt", 21, 3),
    )


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a file of MATLAB's by name."""
    from scipy.io import loadmat

    try:
        require_size(_unpacked_size(require_file(path, _DATASET).read_bytes()), _MOST_BYTES, path)
        tables: dict[str, Any] = loadmat(path)
    except InputError:
        raise
    except Exception as error:
        # A damaged file raises nearly anything, as it does in other readers of binary files.
        raise InputError("dataset.unreadable", file=path, reason=str(error)) from error
    return tables


def _unpacked_size(content: bytes) -> int:
    """Bytes that the compressed elements of a file of MATLAB's take unpacked; counting ends above
    `_MOST_BYTES`. The format: a header of 128 bytes with the order of bytes at its end, then
    elements, each behind its type and its length; version 4 has neither header nor compression."""
    if 0 in content[:4]:
        return 0
    words = struct.Struct("<II" if content[126:128] == b"IM" else ">II")
    size, place = 0, _MAT_HEADER
    while place + words.size <= len(content) and size <= _MOST_BYTES:
        kind, length = words.unpack_from(content, place)
        place += words.size
        if kind == _MAT_COMPRESSED:
            unpacker, packed = zlib.decompressobj(), content[place : place + length]
            while packed and size <= _MOST_BYTES:
                size += len(unpacker.decompress(packed, _CHUNK))
                packed = unpacker.unconsumed_tail
        place += length
    return size
