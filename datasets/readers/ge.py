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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import member, numbers, require_file, require_folder
from datasets.readers.parameters import matrix_of_focal, project
from fitter.errors import InputError
from fitter.inputs.intrinsics import check_intrinsics

_DATASET = "Ge et al.'s real set"
_SIDE = 256
"""Pixels of the images' sides, which no file says."""
_CENTIMETRE = 1e-2
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
        for what, rows in (("params", self.cameras), ("pose_gt", self.keypoints)):
            if place >= len(rows):
                path = self.root / f"{what}.mat"
                raise InputError("dataset.no_entry", file=path, found=len(rows), image=name)
        fx, fy, u0, v0 = self.cameras[place]
        x, y, width, _ = self.crops[place]
        zoom = np.diag([_SIDE / width, _SIDE / width, 1.0])
        K = zoom @ matrix_of_focal(fx, fy, u0 - x, v0 - y)
        hand = AnnotatedHand(
            side="left",
            keypoints_2d=project(self.keypoints[place], K),
            keypoints_3d=self.keypoints[place],
            vertices=self._vertices(name),
        )
        where = f"{self.root / 'params.mat'}, entry {place}"
        return Annotation(name, check_intrinsics(K, where), (hand,), size=(_SIDE, _SIDE))

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
    params, truth = (root / f"{name}.mat" for name in ("params", "pose_gt"))
    tables = _read(params)
    names = np.ravel(member(tables, "image_path", params))
    return Ge(
        root=root,
        split="test",
        names=tuple(str(name).strip() for name in names),
        cameras=numbers(member(tables, "cam_param", params), (-1, 4), params, "cam_param"),
        crops=numbers(member(tables, "bbox", params), (-1, 4), params, "bbox"),
        keypoints=_CENTIMETRE
        * numbers(member(_read(truth), "pose_gt", truth), (-1, 21, 3), truth, "pose_gt"),
    )


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a file of MATLAB's by name."""
    from scipy.io import loadmat

    try:
        tables: dict[str, Any] = loadmat(require_file(path, _DATASET))
    except InputError:
        raise
    except Exception as error:
        # A damaged file raises nearly anything, as it does in other readers of binary files.
        raise InputError("dataset.unreadable", file=path, reason=str(error)) from error
    return tables
