"""Writes DexYCB's layout as github.com/NVlabs/dex-ycb-toolkit reads it: ``dex_ycb.py``. A subject
has its 100 sequences of two frames; files of images are only where a hand is asked for."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

from datasets.readers.dexycb_layout import OBJECTS, SERIALS, SUBJECTS
from fitter.records import Side
from tests.support.known_hands import KnownHand, View, known_hand
from tests.support.object_files import write_mesh

VIEW = View((640, 480), 613.0, 0.7)
YCB = (2, 10)
"""Objects of every sequence; the second cannot be seen."""
FRAMES = 2
"""Of a sequence; the first is without a hand."""


def side_of(sequence: int) -> Side:
    """The hand of a subject's sequence."""
    return "left" if sequence % 2 else "right"


def betas_of(subject: int, side: Side) -> np.ndarray:
    """The shape of a subject's hand."""
    return np.random.default_rng([subject, side == "left"]).normal(size=10).round(4)


def write_dexycb(
    folder: Path, models: Path, taken: Sequence[tuple[int, int, int]]
) -> dict[str, KnownHand]:
    """Write the subjects that some sequences are of, and those sequences' images.

    Args:
        folder: of the data set.
        models: for MANO's files.
        taken: (subject, sequence, camera), places in the data set's lists.

    Returns:
        Name of an image -> the hand in it, of the second frames.
    """
    for serial in SERIALS:
        K = VIEW.intrinsics
        colour = {"fx": K[0, 0], "fy": K[1, 1], "ppx": K[0, 2], "ppy": K[1, 2]}
        colour = {name: float(value) for name, value in colour.items()}
        path = folder / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
        write_yaml(path, {"color": colour, "depth": colour})
    for subject in sorted({subject for subject, _, _ in taken}):
        _write_subject(folder, subject)
    hands = {}
    for subject, sequence, camera in taken:
        side = side_of(sequence)
        seed = 100 * subject + sequence
        hand = known_hand(models, seed, side, VIEW, False, betas_of(subject, side))
        place = folder / SUBJECTS[subject] / sequence_name(sequence) / SERIALS[camera]
        place.mkdir()
        for frame in range(FRAMES):
            write_frame(place, frame, hand, is_there=frame > 0)
        hands[(place / "color_000001.jpg").relative_to(folder).as_posix()] = hand
    mesh = folder / "models" / OBJECTS[YCB[0]] / "textured_simple.obj"
    write_mesh(mesh)
    return hands


def sequence_name(sequence: int) -> str:
    """Of a subject's sequence; they are sorted."""
    return f"20200709_{140000 + sequence}"


def write_frame(folder: Path, frame: int, hand: KnownHand, is_there: bool) -> None:
    """Colour, depth and labels of a frame with one object, and with a hand or without."""
    Image.fromarray(hand.image).save(folder / f"color_{frame:06d}.jpg", quality=95)
    depth = np.round(1000 * hand.depth).astype(np.uint16)
    assert cv2.imwrite(str(folder / f"aligned_depth_to_color_{frame:06d}.png"), depth)
    seg = np.where(hand.mask & is_there, 255, 0).astype(np.uint8)
    seg[:40, :60] = YCB[0]
    pose = np.concatenate([hand.flat("global_orient"), hand.coefficients, hand.flat("transl")])
    points = hand.keypoints
    K = hand.view.intrinsics
    positions = np.stack([K[i, i] * points[:, i] / points[:, 2] + K[i, 2] for i in range(2)], -1)
    labels = {
        "seg": seg,
        "pose_y": np.stack([object_pose(), np.zeros((3, 4))]).astype(np.float32),
        "pose_m": pose[None] if is_there else np.zeros((1, 51)),
        "joint_3d": points[None] if is_there else -np.ones((1, 21, 3)),
        "joint_2d": positions[None] if is_there else -np.ones((1, 21, 2)),
    }
    types = {"seg": np.uint8}
    np.savez(
        folder / f"labels_{frame:06d}.npz",
        **{name: value.astype(types.get(name, np.float32)) for name, value in labels.items()},
    )


def object_pose() -> np.ndarray:
    """(3, 4) of the object that can be seen."""
    rotation = cv2.Rodrigues(np.array([0.2, 0.9, -0.4]))[0]
    return np.column_stack([rotation, [0.1, -0.05, 0.8]])


def _write_subject(folder: Path, subject: int) -> None:
    for side in ("left", "right"):
        path = folder / "calibration" / f"mano_{SUBJECTS[subject]}_{side}" / "mano.yml"
        write_yaml(path, {"betas": betas_of(subject, side).tolist()})
    for sequence in range(100):
        side = side_of(sequence)
        meta = {
            "serials": list(SERIALS),
            "num_frames": FRAMES,
            "extrinsics": "20200702_151821",
            "ycb_ids": list(YCB),
            "ycb_grasp_ind": 0,
            "mano_sides": [side],
            "mano_calib": [f"{SUBJECTS[subject]}_{side}"],
        }
        write_yaml(folder / SUBJECTS[subject] / sequence_name(sequence) / "meta.yml", meta)


def write_yaml(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))
