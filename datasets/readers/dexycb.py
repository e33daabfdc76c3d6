"""DexYCB (Chao et al., "DexYCB", CVPR 2021), as published.

    SUBJECT/SEQUENCE/meta.yml
    SUBJECT/SEQUENCE/SERIAL/{color_%06d.jpg,aligned_depth_to_color_%06d.png,labels_%06d.npz}
    calibration/intrinsics/SERIAL_640x480.yml  calibration/mano_ID/mano.yml
    models/NAME/textured_simple.obj

Arrays, units and orders are those of github.com/NVlabs/dex-ycb-toolkit. Its keypoints are those of
manopth, its left hands were annotated with the shape displacements as MANO's file has them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    AnnotatedObject,
    Annotation,
    ManoAnnotation,
)
from datasets.readers.dexycb_layout import OBJECTS, PARTS, SEQUENCES, SERIALS, SUBJECTS
from datasets.readers.files import (
    member,
    numbers,
    read_raw_image,
    read_yaml,
    require_file,
    require_folder,
    require_size,
)
from datasets.readers.parameters import matrix_of_focal
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.records import Side

_DATASET = "DexYCB"
_SIZE = (640, 480)
_HAND_LABEL = 255
_MOST_BYTES = 8 * _SIZE[0] * _SIZE[1] + 2**12
"""Of an array of labels: a number for each pixel, and a header."""
_DEPTH_UNIT = 1e-3
"""Metres for each unit of the depth images."""


@dataclass(frozen=True)
class Recording:
    """A sequence, as all cameras saw it.

    Attributes:
        name: SUBJECT/SEQUENCE.
        frames: how many each camera has.
        side: of the hand.
        betas: (10,) of the hand.
        objects: numbers of the objects in `OBJECTS`, in the order of their poses.
    """

    name: str
    frames: int
    side: Side
    betas: np.ndarray
    objects: tuple[int, ...]


@dataclass(frozen=True)
class DexYcbNames(Sequence[str]):
    """Names of a split's images: by sequence, camera, frame.

    Attributes:
        recordings: of the split.
        serials: of its cameras.
        ends: place behind the last image of each recording.
    """

    recordings: tuple[Recording, ...]
    serials: tuple[str, ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return self.ends[-1]

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        places = range(len(self))[place]
        return (
            [self._name(at) for at in places] if isinstance(places, range) else self._name(places)
        )

    def find(self, place: int) -> tuple[Recording, str, int]:
        """The recording, the camera and the frame of image `place`."""
        number = bisect_right(self.ends, place)
        recording = self.recordings[number]
        first = self.ends[number] - recording.frames * len(self.serials)
        camera, frame = divmod(place - first, recording.frames)
        return recording, self.serials[camera], frame

    def _name(self, place: int) -> str:
        recording, serial, frame = self.find(place)
        return f"{recording.name}/{serial}/color_{frame:06d}.jpg"


@dataclass(frozen=True)
class DexYcb(AnnotatedImages):
    """A split of DexYCB. Build it with `open_dexycb`.

    Attributes:
        intrinsics: serial number of a camera -> (3, 3) K.
    """

    root: Path
    split: str
    names: DexYcbNames
    intrinsics: Mapping[str, np.ndarray]
    dataset: str = "dexycb"
    definition: AnnotatedDefinition = "dexycb"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`. Before the hand comes into view, there is none."""
        recording, serial, frame = self.names.find(place)
        path = self._beside(place, "labels_{:06d}.npz")
        labels = _read_labels(path, ("pose_y", "pose_m", "joint_3d", "joint_2d"))
        count = len(recording.objects)
        poses = numbers(labels["pose_y"], (count, 3, 4), path, "pose_y")
        hand = _pose(labels, path)
        points = numbers(labels["joint_3d"], (1, 21, 3), path, "joint_3d")[0]
        positions = numbers(labels["joint_2d"], (1, 21, 2), path, "joint_2d")[0]
        hands: tuple[AnnotatedHand, ...] = ()
        if hand.any():
            mano = ManoAnnotation(
                global_orient=hand[:3],
                hand_pose=hand[3:48],
                betas=recording.betas,
                translation=hand[48:],
                fixed_left=False,
                pose_space="pca",
            )
            hands = (AnnotatedHand(recording.side, positions, points, mano=mano),)
        return Annotation(
            name=self.names[place],
            intrinsics=self.intrinsics[serial],
            hands=hands,
            objects=tuple(
                self._object(number, pose)
                for number, pose in zip(recording.objects, poses, strict=True)
                if pose.any()
            ),
            sequence=f"{recording.name}/{serial}",
            frame=frame,
            size=_SIZE,
        )

    def segmentation(self, place: int) -> np.ndarray:
        """(H, W) uint8: 255 the hand, 1 to 21 the objects of `OBJECTS`, 0 nothing of them.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self._beside(place, "labels_{:06d}.npz")
        return _segmentation(_read_labels(path, ("seg",)), path)

    def masks(self, place: int) -> np.ndarray | None:
        """(hands, H, W) bool, of no hand or one."""
        path = self._beside(place, "labels_{:06d}.npz")
        labels = _read_labels(path, ("seg", "pose_m"))
        hand = _segmentation(labels, path)[None] == _HAND_LABEL
        return hand[: int(_pose(labels, path).any())]

    def depth(self, place: int) -> np.ndarray | None:
        """(H, W) float32 metres, in the axes of the colour camera."""
        path = self._beside(place, "aligned_depth_to_color_{:06d}.png")
        values = read_raw_image(path)
        return values.astype(np.float32) * np.float32(_DEPTH_UNIT)

    def _beside(self, place: int, pattern: str) -> Path:
        """A file beside image `place`."""
        recording, serial, frame = self.names.find(place)
        return self.root / recording.name / serial / pattern.format(frame)

    def _object(self, number: int, pose: np.ndarray) -> AnnotatedObject:
        mesh = self.root / "models" / OBJECTS[number] / "textured_simple.obj"
        found = mesh if mesh.is_file() else None
        return AnnotatedObject(OBJECTS[number], pose[:, :3], pose[:, 3], found)


def open_dexycb(root: Path, split: str) -> DexYcb:
    """Open a split. It needs all sequences of its subjects: a split is made of their numbers.

    Args:
        root: folder that holds ``calibration`` and the subjects.
        split: setup and part, such as "s0_test".

    Raises:
        InputError: the folder, a subject, a sequence or a calibration is missing or damaged.
    """
    root = require_folder(root, _DATASET)
    calibration = require_folder(root / "calibration", _DATASET)
    part = PARTS[split]
    serials = tuple(SERIALS[place] for place in part.serials)
    intrinsics = {serial: _intrinsics(calibration, serial) for serial in serials}
    betas: dict[str, np.ndarray] = {}
    recordings = []
    for subject in (SUBJECTS[place] for place in part.subjects):
        folder = require_folder(root / subject, _DATASET)
        sequences = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        if len(sequences) != SEQUENCES:
            raise InputError(
                "dataset.sequences", file=folder, expected=SEQUENCES, found=len(sequences)
            )
        for place in part.sequences:
            name = f"{subject}/{sequences[place]}"
            recordings.append(_recording(root, name, betas))
    ends = accumulate(recording.frames * len(serials) for recording in recordings)
    names = DexYcbNames(tuple(recordings), serials, tuple(ends))
    return DexYcb(root, split, names, intrinsics)


def _intrinsics(calibration: Path, serial: str) -> np.ndarray:
    path = calibration / "intrinsics" / f"{serial}_640x480.yml"
    colour = member(read_yaml(path, _DATASET), "color", path)
    values = [
        numbers(member(colour, key, path), (), path, key) for key in ("fx", "fy", "ppx", "ppy")
    ]
    return check_intrinsics(matrix_of_focal(*map(float, values)), str(path))


def _recording(root: Path, name: str, betas: dict[str, np.ndarray]) -> Recording:
    """Read ``meta.yml``; `betas` are those read so far, by their calibration."""
    path = root / name / "meta.yml"
    meta = read_yaml(path, _DATASET)
    frames = member(meta, "num_frames", path)
    sides, calibrations, objects = (
        member(meta, key, path) for key in ("mano_sides", "mano_calib", "ycb_ids")
    )
    if not isinstance(frames, int) or frames < 1:
        raise InputError(
            "dataset.values", file=path, key="num_frames", expected="1 or more", found=frames
        )
    if not isinstance(sides, list) or sides[:1] not in (["left"], ["right"]):
        raise InputError(
            "dataset.values", file=path, key="mano_sides", expected="left or right", found=sides
        )
    if not isinstance(objects, list) or not all(
        isinstance(number, int) and number in OBJECTS for number in objects
    ):
        raise InputError(
            "dataset.values", file=path, key="ycb_ids", expected="numbers 1 to 21", found=objects
        )
    if not isinstance(calibrations, list) or not calibrations:
        raise InputError("dataset.no_key", file=path, key="mano_calib")
    calibration = str(calibrations[0])
    if calibration not in betas:
        of = root / "calibration" / f"mano_{calibration}" / "mano.yml"
        betas[calibration] = numbers(
            member(read_yaml(of, _DATASET), "betas", of), (10,), of, "betas"
        )
    return Recording(name, frames, sides[0], betas[calibration], tuple(objects))


def _pose(labels: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """(51,) 48 coefficients and 3 metres of the hand, all 0 where there is none."""
    return numbers(labels["pose_m"], (1, 51), path, "pose_m")[0]


def _segmentation(labels: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """(H, W) of the images' size."""
    found, expected = labels["seg"], _SIZE[::-1]
    if found.shape != expected:
        sizes = ("x".join(map(str, shape)) for shape in (expected, found.shape))
        wanted, given = sizes
        raise InputError("dataset.values", file=path, key="seg", expected=wanted, found=given)
    return found


def _read_labels(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of an npz file; those that are not named stay packed, and pickled ones are refused."""
    require_file(path, _DATASET)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive]
            if missing:
                raise InputError("dataset.no_key", file=path, key=missing[0])
            for name in names:
                # A zip file's member is never read beyond the size that the file says.
                require_size(archive.zip.getinfo(f"{name}.npy").file_size, _MOST_BYTES, path)
            return {name: archive[name] for name in names}
    except InputError:
        raise
    except Exception as error:
        # A damaged file raises nearly anything: a header may ask for any memory.
        reason = " ".join(str(error).split())
        raise InputError("dataset.unreadable", file=path, reason=reason) from error
