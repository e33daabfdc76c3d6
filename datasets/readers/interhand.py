"""InterHand2.6M (Moon et al., "InterHand2.6M", ECCV 2020), as published: images of both hands.

    images/SPLIT/CaptureN/SEQUENCE/camCAMERA/imageFRAME.jpg
    annotations/SPLIT/InterHand2.6M_SPLIT_{data,camera,joint_3d,MANO_NeuralAnnot}.json

``annotations/all`` or ``machine_annot`` may stand for ``annotations/SPLIT``, as in the first
release; the MANO file may be missing. The JSON
files are read once, at opening, and kept as arrays. Names, orders, units and
``Xc = R (X - campos)`` are those of the public code, github.com/facebookresearch/InterHand2.6M,
``data/InterHand2.6M/dataset.py`` and ``tool/MANO_world_to_camera/convert.py``: millimetres, MANO in
metres and in the world, its left hand with mended shape displacements.

A hand is annotated where one of its joints is. The published box is that of all hands of an image,
so a hand has one where it is alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    Annotation,
    ManoAnnotation,
)
from datasets.readers.files import require_folder
from datasets.readers.interhand_files import (
    DATASET,
    Camera,
    Rows,
    Views,
    read_cameras,
    read_frames,
    read_mano,
    read_views,
)
from datasets.readers.names import PackedNames
from datasets.readers.parameters import project, to_axis_angle, to_matrix
from fitter.conventions import KEYPOINT_ORDERS
from fitter.errors import InputError
from fitter.records import Side

_SIDES: tuple[Side, Side] = ("right", "left")
_ORDER = list(KEYPOINT_ORDERS["interhand"])


@dataclass(frozen=True)
class InterHand(AnnotatedImages):
    """A split of InterHand2.6M. Build it with `open_interhand`.

    Attributes:
        views: what is said of each image.
        cameras: (capture, camera) -> the camera, or why it cannot be used.
        frames: the hands' joints; mano: their parameters, or None without the file.
    """

    root: Path
    split: str
    names: PackedNames
    views: Views
    cameras: Mapping[tuple[str, str], Camera | InputError]
    frames: Rows
    mano: Rows | None
    dataset: str = "interhand"
    definition: AnnotatedDefinition = "interhand"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; positions in the image are the projected ones."""
        views, name = self.views, self.names[place]
        if place in views.refused:
            raise views.refused[place].about()
        *words, frame, width, height = views.places[place].tolist()
        capture, sequence, camera_name = (views.words[word] for word in words)
        camera = self.cameras.get((capture, camera_name))
        if camera is None:
            raise InputError("dataset.no_camera", file=views.path, name=camera_name, image=name)
        if isinstance(camera, InputError):
            raise camera.about()
        joints = self.frames.get(capture, str(frame))
        if joints is None:
            raise InputError("dataset.no_frame", file=self.frames.path, image=name)
        valid = views.valid[place][:, None]
        if not np.isfinite(joints[valid[:, 0]]).all():
            key = f"the joints of {name}"
            raise InputError("dataset.not_finite", file=self.frames.path, key=key)
        joints = (np.where(valid, joints, np.nan) - camera.position) @ camera.rotation.T
        joints = joints.reshape(2, 21, 3)
        seen = [side for side in (0, 1) if np.isfinite(joints[side]).any()]
        corner, extent = np.split(views.boxes[place].astype(np.float64), 2)
        box = np.concatenate([corner, corner + extent]) if len(seen) == 1 else None
        hands = tuple(
            AnnotatedHand(
                side=_SIDES[side],
                keypoints_2d=project(joints[side][_ORDER], camera.K),
                keypoints_3d=joints[side][_ORDER],
                mano=self._mano(camera, capture, str(frame), _SIDES[side]),
                box=box,
            )
            for side in seen
        )
        stream = f"Capture{capture}/{sequence}/cam{camera_name}"
        return Annotation(name, camera.K, hands, (), stream, frame, (width, height))

    def _mano(self, camera: Camera, *key: str) -> ManoAnnotation | None:
        values = None if self.mano is None else self.mano.get(*key)
        if values is None:
            return None
        return ManoAnnotation(
            global_orient=to_axis_angle(camera.rotation @ to_matrix(values[:3])),
            hand_pose=values[3:48],
            betas=values[48:58],
            translation=camera.rotation @ (values[58:] - camera.position),
            pose_space="mean",
            root_rotation=camera.rotation,
        )


def open_interhand(root: Path, split: str) -> InterHand:
    """Open a split.

    Args:
        root: folder that holds ``annotations`` and ``images``.
        split: "test", "train" or "val".

    Raises:
        InputError: the folder or one of its files is missing, or a file is no JSON of its kind.
    """
    root = require_folder(root, DATASET)
    require_folder(root / "images" / split, DATASET)
    # The first release had a folder for people's annotations, one for machines', and one for all,
    # which lacks "val", where no person annotated.
    places = [root / "annotations" / name for name in (split, "all", "machine_annot")]
    folder = next((p for p in places if (p / _file(split, "data")).is_file()), places[0])
    require_folder(folder, DATASET)

    def path(what: str) -> Path:
        return folder / _file(split, what)

    names, views = read_views(path("data"), split)
    mano = path("MANO_NeuralAnnot")
    return InterHand(
        root=root,
        split=split,
        names=names,
        views=views,
        cameras=read_cameras(path("camera")),
        frames=read_frames(path("joint_3d")),
        mano=read_mano(mano) if mano.exists() else None,
    )


def _file(split: str, what: str) -> str:
    return f"InterHand2.6M_{split}_{what}.json"
