"""Writes the layout of Ge et al.'s real set as github.com/3d-hand-shape/hand-graph-cnn reads it:
``hand_shape_pose/data/dataset/real_world_testset.py``, ``data/view_realworld_data.py``."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.support.known_hands import KnownHand, View, known_hand

ARM = np.full((529 - 473, 3), 99.0)
"""Vertices of an arm, which stand from 473 to 528."""
CROPS = np.array([[380, 164, 320, 320], [371, 159, 512, 512], [400, 90, 300, 300]], np.int32)


def write_ge(folder: Path, models: Path) -> list[KnownHand]:
    """The set; the last hand has no mesh."""
    hands, cameras = [], []
    (folder / "images").mkdir(parents=True)
    (folder / "real_hand_3D_mesh").mkdir()
    for number, (x, y, width, _) in enumerate(CROPS):
        hand = known_hand(models, number, "left", View((256, 256), 500 + 10 * number, 0.5))
        K, zoom = hand.view.intrinsics, 256 / width
        cameras.append([K[0, 0] / zoom, K[1, 1] / zoom, K[0, 2] / zoom + x, K[1, 2] / zoom + y])
        Image.fromarray(hand.image).save(folder / "images" / f"{number:05d}.jpg")
        if number < len(CROPS) - 1:
            vertices = 100 * hand.vertices
            vertices = np.concatenate([vertices[:473], ARM, vertices[473:]])
            lines = [f"v {a:.6f} {b:.6f} {c:.6f}" for a, b, c in vertices]
            path = folder / "real_hand_3D_mesh" / f"{number:05d}.obj"
            path.write_text("\n".join([*lines, "vn 0 0 1", "f 1//1 2//1 3//1"]))
        hands.append(hand)
    points = 100 * np.array([hand.keypoints for hand in hands], np.float32)
    params = {
        "image_path": np.array([f"images/{n:05d}.jpg" for n in range(len(hands))]),
        "cam_param": np.array(cameras),
        "bbox": CROPS,
        "pose_root": points[:, 0],
        "pose_scale": np.full((1, len(hands)), 5, np.uint8),
    }
    savemat(folder / "params.mat", params)
    savemat(folder / "pose_gt.mat", {"pose_gt": points})
    return hands
