"""HO-3D, versions 2 and 3 (Hampali et al., "HOnnotate", CVPR 2020), as published.

    train.txt  evaluation.txt             a line SEQUENCE/FRAME for every annotated frame
    train/SEQUENCE/rgb/FRAME.png          .jpg in version 3
    train/SEQUENCE/depth/FRAME.png
    train/SEQUENCE/meta/FRAME.pkl
    evaluation_{xyz,verts}.json           published later, in the order of evaluation.txt
    models/NAME/textured_simple.obj       the YCB models, where they are put here

Only frames that a list names are annotated; of the evaluation's hands the frames' own files have
the root joint and a box. The camera is OpenGL's, the 21 joints are MANO's 16 and then the
fingertips: see github.com/shreyashampali/ho3d, ``vis_HO3D.py``. What the two lists hold is taken
from what its ``eval.py`` compares with them; the root joint of every frame shows whether it is so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    AnnotatedObject,
    Annotation,
    ManoAnnotation,
)
from datasets.readers.files import (
    JsonRows,
    member,
    numbers,
    read_layer,
    read_pickled,
    require_file,
    require_folder,
)
from datasets.readers.parameters import OPENGL_TO_OPENCV, moved_root, project, to_matrix
from fitter.conventions import KEYPOINT_ORDERS
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics

_DATASET = "HO-3D"
_SIZE = (640, 480)
_DEPTH_UNIT = 0.00012498664727900177
"""Metres for each unit of the depth images, from the public code, ``read_depth_img``."""

_ORDER = list(KEYPOINT_ORDERS["mano_tips"])
_SAME_ROOT = 1e-3
"""Metres within which two files must agree on where a wrist is."""


@dataclass(frozen=True)
class Ho3d(AnnotatedImages):
    """A split of HO-3D. Build it with `open_ho3d`.

    Attributes:
        frames: SEQUENCE/FRAME of every image, as listed.
        version: 2 or 3.
        lists: of xyz and verts, what there is for the evaluation.
    """

    root: Path
    split: str
    names: Sequence[str]
    frames: Sequence[str]
    version: int
    lists: Mapping[str, JsonRows]
    dataset: str = "ho3d"
    definition: AnnotatedDefinition = "ho3d"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; positions in the image are the projected ones."""
        sequence, frame = self.frames[place].split("/")
        path = self._meta(place)
        meta = read_pickled(require_file(path, _DATASET), _DATASET)
        K = check_intrinsics(self._member(meta, "camMat", path), f"{path}, camMat")
        return Annotation(
            name=self.names[place],
            intrinsics=K,
            hands=(self._hand(place, meta, K),),
            objects=self._objects(meta, path),
            sequence=sequence,
            frame=int(frame) if frame.isdecimal() else None,
            size=_SIZE,
        )

    def depth(self, place: int) -> np.ndarray | None:
        """(H, W) float32 metres, or None for a sequence without a folder of depths."""
        sequence, frame = self.frames[place].split("/")
        folder = self.root / self.split / sequence / "depth"
        if not folder.is_dir():
            return None
        path = folder / f"{frame}.png"
        values = read_layer(path, 3, "colours")
        # In the file's red channel are the low bits, in green the high ones.
        low, high = values[..., 0].astype(np.float32), values[..., 1].astype(np.float32)
        return (low + 256 * high) * np.float32(_DEPTH_UNIT)

    def _member(self, meta: Mapping[str, Any], key: str, path: Path) -> Any:
        """What a frame's annotation holds, which is None where the frame was not annotated."""
        value = member(meta, key, path)
        if value is None:
            raise InputError("dataset.not_annotated", file=path, list=f"{self.split}.txt", key=key)
        return value

    def _hand(self, place: int, meta: Mapping[str, Any], K: np.ndarray) -> AnnotatedHand:
        path = self._meta(place)

        def of(key: str, shape: tuple[int, ...]) -> np.ndarray:
            return numbers(self._member(meta, key, path), shape, path, key)

        if self.split == "evaluation":
            keypoints, vertices = self._listed(place, of("handJoints3D", (3,)))
            seen = project(keypoints, K)
            box = of("handBoundingBox", (4,))
            return AnnotatedHand("right", seen, keypoints, vertices=vertices, box=box)
        joints = of("handJoints3D", (21, 3))
        keypoints = joints[_ORDER] @ OPENGL_TO_OPENCV
        pose = of("handPose", (48,))
        orient, translation = moved_root(
            pose[:3], of("handTrans", (3,)), joints[0], (OPENGL_TO_OPENCV, np.zeros(3))
        )
        mano = ManoAnnotation(orient, pose[3:], of("handBeta", (10,)), translation)
        return AnnotatedHand("right", project(keypoints, K), keypoints, mano=mano)

    def _listed(self, place: int, root: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Keypoints and vertices of an evaluation's hand, of whose keypoints the first alone is
        known where there is no list."""
        name, vertices = self.names[place], None
        joints = np.full((21, 3), np.nan)
        joints[0] = root
        if "xyz" in self.lists:
            joints = self.lists["xyz"].row(place, (21, 3), name)
            distance = float(np.linalg.norm(joints[0] - root))
            if distance > _SAME_ROOT:
                raise InputError(
                    "dataset.other_root",
                    file=self.lists["xyz"].path,
                    image=name,
                    distance=1000 * distance,
                )
        if "verts" in self.lists:
            vertices = self.lists["verts"].row(place, (-1, 3), name) @ OPENGL_TO_OPENCV
        return joints[_ORDER] @ OPENGL_TO_OPENCV, vertices

    def _meta(self, place: int) -> Path:
        sequence, frame = self.frames[place].split("/")
        return self.root / self.split / sequence / "meta" / f"{frame}.pkl"

    def _objects(self, meta: Mapping[str, Any], path: Path) -> tuple[AnnotatedObject, ...]:
        name = str(self._member(meta, "objName", path))
        # A vector of three or a column of them.
        rotation = np.ravel(self._member(meta, "objRot", path))
        rotation = numbers(rotation, (3,), path, "objRot")
        translation = numbers(self._member(meta, "objTrans", path), (3,), path, "objTrans")
        mesh = self.root / "models" / Path(name).name / "textured_simple.obj"
        found = AnnotatedObject(
            name,
            OPENGL_TO_OPENCV @ to_matrix(rotation),
            OPENGL_TO_OPENCV @ translation,
            mesh if mesh.is_file() else None,
        )
        return (found,)


def open_ho3d(root: Path, split: str) -> Ho3d:
    """Open a split of version 2 or 3, whichever the folder holds.

    Args:
        root: folder that holds ``train.txt`` and the rest.
        split: "evaluation" or "train".

    Raises:
        InputError: the folder, its list or its images are missing, or the list is none of frames.
    """
    root = require_folder(root, _DATASET)
    path = require_file(root / f"{split}.txt", _DATASET)
    require_folder(root / split, _DATASET)
    try:
        frames = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise InputError("dataset.unreadable", file=path, reason=str(error)) from error
    for frame in frames or [""]:
        if len(parts := frame.split("/")) != 2 or not all(part.strip(".") for part in parts):
            raise InputError("dataset.frame_names", file=path, found=frame)
    version, suffix = _version(root / split, frames)
    names = []
    for frame in frames:
        sequence, number = frame.split("/")
        names.append(f"{split}/{sequence}/rgb/{number}{suffix}")
    paths = {kind: root / f"{split}_{kind}.json" for kind in ("xyz", "verts")}
    lists = {k: JsonRows.open(path, _DATASET) for k, path in paths.items() if path.exists()}
    return Ho3d(root, split, tuple(names), tuple(frames), version, lists)


def _version(folder: Path, frames: Sequence[str]) -> tuple[int, str]:
    """The version, and the ending of its images, of the first frame that has an image."""
    for frame in frames:
        sequence, number = frame.split("/")
        for version, suffix in ((3, ".jpg"), (2, ".png")):
            if (folder / sequence / "rgb" / f"{number}{suffix}").is_file():
                return version, suffix
    sequence = frames[0].split("/")[0]
    raise InputError(
        "dataset.lacks", file=folder / sequence / "rgb", what="folder of images", dataset=_DATASET
    )
