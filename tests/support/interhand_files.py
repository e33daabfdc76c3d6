"""Writes InterHand2.6M's layout as github.com/facebookresearch/InterHand2.6M reads it:
``data/InterHand2.6M/dataset.py``, ``tool/MANO_world_to_camera/convert.py``."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.support.hand_pairs import HandPair, hand_pair
from tests.support.known_hands import KnownHand, View

SPLIT = "test"
VIEWS = {("0", "400002"): View((334, 512), 520, 0.75), ("1", "400262"): View((512, 334), 500, 0.7)}
"""(capture, camera) -> how it sees; each camera sees frames of its own."""
FRAMES = (23, 47)
"""Of each capture; in the second there is only a right hand."""
ROTATION = cv2.Rodrigues(np.array([0.4, -2.1, 0.7]))[0]
POSITION = np.array([0.31, -0.72, 1.9])
"""Metres; of both cameras in the worlds of their captures, x_cam = R (x_world - position)."""


def write_interhand(folder: Path, models: Path) -> dict[str, HandPair]:
    """A split; name of an image -> the hands in it."""
    pairs, images, annotations = {}, [], []
    cameras, joints, mano = {}, {}, {}
    for (capture, camera), view in VIEWS.items():
        K = view.intrinsics
        cameras[capture] = {
            "campos": {camera: (1000 * POSITION).tolist()},
            "camrot": {camera: ROTATION.tolist()},
            "focal": {camera: [K[0, 0], K[1, 1]]},
            "princpt": {camera: K[:2, 2].tolist()},
        }
        joints[capture], mano[capture] = {}, {}
        for frame in FRAMES:
            number = len(images)
            pair = hand_pair(models, number, view)
            alone = frame == FRAMES[1]
            file_name = f"Capture{capture}/ROM01_Pinch/cam{camera}/image{frame:05d}.jpg"
            name = f"images/{SPLIT}/{file_name}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            pixels = pair.hands["right"].image if alone else pair.image
            Image.fromarray(pixels).save(folder / name)
            pairs[name] = pair
            valid = [1] * 21 + [0 if alone else 1] * 21
            images.append(_image(number, file_name, capture, camera, frame, view))
            annotations.append(_annotation(number, valid, alone))
            world = np.concatenate([_world(_ordered(pair.hands[s])) for s in ("right", "left")])
            joints[capture][str(frame)] = {
                "world_coord": (1000 * world).tolist(),
                "joint_valid": [[v] for v in valid],
                "hand_type": "right" if alone else "interacting",
                "hand_type_valid": True,
            }
            mano[capture][str(frame)] = {
                "right": _mano(pair.hands["right"]),
                "left": None if alone else _mano(pair.hands["left"]),
            }
    target = folder / "annotations" / SPLIT
    target.mkdir(parents=True)
    data = {"images": images, "annotations": annotations}
    for kind, content in (
        ("data", data), ("camera", cameras), ("joint_3d", joints), ("MANO_NeuralAnnot", mano)
    ):  # fmt: skip
        (target / f"InterHand2.6M_{SPLIT}_{kind}.json").write_text(json.dumps(content))
    return pairs


def _image(
    number: int, file_name: str, capture: str, camera: str, frame: int, view: View
) -> dict[str, object]:
    return {
        "id": 700 + number,
        "file_name": file_name,
        "width": view.size[0],
        "height": view.size[1],
        "capture": int(capture),
        "subject": 5,
        "seq_name": "ROM01_Pinch",
        "camera": camera,
        "frame_idx": frame,
    }


def _annotation(number: int, valid: list[int], alone: bool) -> dict[str, object]:
    return {
        "id": 900 + number,
        "image_id": 700 + number,
        "bbox": [10.0, 20.0, 100.0, 200.0],
        "joint_valid": [[v] for v in valid],
        "hand_type": "right" if alone else "interacting",
        "hand_type_valid": 1,
    }


def _ordered(hand: KnownHand) -> np.ndarray:
    """Each finger from tip to base, the thumb first; the wrist last."""
    fingers = hand.keypoints[1:].reshape(5, 4, 3)[:, ::-1]
    return np.concatenate([fingers.reshape(20, 3), hand.keypoints[:1]])


def _world(points: np.ndarray) -> np.ndarray:
    return points @ ROTATION + POSITION


def _mano(hand: KnownHand) -> dict[str, list[float]]:
    """The same hand in the world, where it turns about its root joint j0 at rest:
    x = R (v - j0) + j0 + t. The angles are relative to the mean pose."""
    orient = ROTATION.T @ cv2.Rodrigues(hand.flat("global_orient"))[0]
    root = hand.joints[0] - hand.flat("transl")
    return {
        "pose": [*cv2.Rodrigues(orient)[0][:, 0].tolist(), *hand.pose_from_mean.tolist()],
        "shape": hand.flat("betas").tolist(),
        "trans": (_world(hand.joints[0]) - root).tolist(),
    }
