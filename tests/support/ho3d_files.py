"""Writes HO-3D's layout, version 2 or 3, as github.com/shreyashampali/ho3d reads it:
``vis_HO3D.py`` and ``utils/vis_utils.py``. The pickles are Python 2's, with NumPy's
old names of modules."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.support.known_hands import KnownHand, View, known_hand
from tests.support.mano_files import Python2Pickler
from tests.support.object_files import write_mesh

FLIP = np.diag([1.0, -1.0, -1.0])
DEPTH_UNIT = 0.00012498664727900177
OBJECT = "010_potted_meat_can"
OBJECT_ROTATION = np.array([0.3, -1.1, 0.4])
OBJECT_TRANSLATION = np.array([0.05, 0.02, -0.6])
FRAMES = ("ABF10/0000", "ABF10/0003", "MC1/0001")
"""Those that are listed; ABF10/0001 lies beside them without an annotation."""


def write_ho3d(folder: Path, models: Path, version: int = 3) -> dict[str, KnownHand]:
    """Both splits with the same hands: SEQUENCE/FRAME -> what is in it."""
    view = View((640, 480), 615.0, 0.6)
    hands = {frame: known_hand(models, 10 + n, view=view) for n, frame in enumerate(FRAMES)}
    for split in ("train", "evaluation"):
        for frame in (*FRAMES, "ABF10/0001"):
            hand = hands.get(frame)
            sequence, number = frame.split("/")
            for kind in ("rgb", "depth", "meta"):
                (folder / split / sequence / kind).mkdir(parents=True, exist_ok=True)
            meta = annotation(hand, split)
            write_pickle(folder / split / sequence / "meta" / f"{number}.pkl", meta)
            suffix = ".png" if version == 2 else ".jpg"
            shown = hands[FRAMES[0]] if hand is None else hand
            image = Image.fromarray(shown.image)
            image.save(folder / split / sequence / "rgb" / f"{number}{suffix}")
            write_depth(folder / split / sequence / "depth" / f"{number}.png", shown.depth)
        (folder / f"{split}.txt").write_text("\n".join(FRAMES) + "\n")
    mesh = folder / "models" / OBJECT / "textured_simple.obj"
    write_mesh(mesh)
    return hands


def write_truth(folder: Path, hands: dict[str, KnownHand]) -> None:
    """The evaluation's lists, in the order of the frames, for OpenGL's camera."""
    shown = [hands[frame] for frame in FRAMES]
    for kind, arrays in (
        ("xyz", [_joints(hand) for hand in shown]),
        ("verts", [hand.vertices @ FLIP for hand in shown]),
    ):
        values = [array.tolist() for array in arrays]
        (folder / f"evaluation_{kind}.json").write_text(json.dumps(values))


def _joints(hand: KnownHand) -> np.ndarray:
    """MANO's 16 joints and the fingertips, thumb to little, in OpenGL's camera."""
    return np.concatenate([hand.joints, hand.keypoints[4::4]]) @ FLIP


def annotation(hand: KnownHand | None, split: str) -> dict[str, object]:
    """What a frame's pickle holds; without a hand, that of a frame that is not annotated."""
    names = ("handJoints3D", "camMat", "objRot", "objTrans", "objName", "objLabel")
    names += (
        ("handBoundingBox",) if split == "evaluation" else ("handPose", "handTrans", "handBeta")
    )
    if hand is None:
        return dict.fromkeys(names)
    joints = _joints(hand)
    known = {
        "camMat": hand.view.intrinsics,
        "objRot": OBJECT_ROTATION[:, None],
        "objTrans": OBJECT_TRANSLATION,
        "objName": OBJECT,
        "objLabel": 9,
        "objCorners3D": np.zeros((8, 3)),
    }
    if split == "evaluation":
        low, high = np.argwhere(hand.mask).min(0)[::-1], np.argwhere(hand.mask).max(0)[::-1]
        return known | {
            "handJoints3D": joints[0],
            "handBoundingBox": [*low.tolist(), *high.tolist()],
        }
    root = hand.joints[0] - hand.flat("transl")
    # The hand turns about its root, in OpenGL's axes as in OpenCV's.
    rotation = FLIP @ cv2.Rodrigues(hand.flat("global_orient"))[0]
    pose = np.concatenate([cv2.Rodrigues(rotation)[0][:, 0], hand.flat("hand_pose")])
    return known | {
        "handJoints3D": joints,
        "handPose": pose,
        "handTrans": FLIP @ hand.joints[0] - root,
        "handBeta": hand.flat("betas"),
        "handVertContact": np.zeros(778, bool),
    }


def write_pickle(path: Path, value: object) -> None:
    """As Python 2 writes it."""
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(value)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core."))


def write_depth(path: Path, depth: np.ndarray) -> None:
    """Metres as 16 bits in the channels green (high) and red (low)."""
    units = np.round(depth / DEPTH_UNIT).astype(np.uint32)
    channels = np.stack([np.zeros_like(units), units // 256, units % 256], -1).astype(np.uint8)
    assert cv2.imwrite(str(path), channels)
