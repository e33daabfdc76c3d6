"""Folders as several calibrated cameras leave them: a rig file, images of frames, and what an ideal
detector says of the hands in them."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fitter.rig import Rig, RigCamera
from tests.support import bad_files

SIZE = (320, 240)
LENS = (-0.12, 0.03, 0.001, -0.0005, 0.0)
"""A distortion of some pixels at the border of `SIZE`."""


def example_points(name: str = bad_files.HAND.name) -> list[tuple[str, np.ndarray]]:
    """Side and (21, 3) keypoints in metres of each hand of an example, in its camera's frame, which
    is the rig's frame here."""
    truth = json.loads((bad_files.EXAMPLES / "ground_truth.json").read_text())["hands"]
    return [(h["side"], np.array(h["keypoints_3d"])) for h in truth if h["image"] == name]


def turning_rig(names: Sequence[str], distortion: Sequence[float] = (), size=SIZE) -> Rig:
    """Cameras on an arc of 25 degrees each around a point 0.4 m before the first one."""
    centre = np.array([0.0, 0.0, 0.4])
    K = np.array([[300.0, 0.0, size[0] / 2 + 3], [0.0, 302.0, size[1] / 2 - 2], [0.0, 0.0, 1.0]])
    cameras = []
    for number, name in enumerate(names):
        R = cv2.Rodrigues(np.array([0.0, np.radians(25.0 * number), 0.0]))[0]
        lens = np.array(distortion, np.float64)
        cameras.append(RigCamera(name, K, R, centre - R @ centre, lens, size))
    return Rig(tuple(cameras))


def seen(camera: RigCamera, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of a camera's image, distortion included, of points (N, 3) of the rig."""
    lens = camera.distortion if len(camera.distortion) else None
    turn = cv2.Rodrigues(camera.rotation)[0]
    found = cv2.projectPoints(points, turn, camera.translation, camera.intrinsics, lens)[0]
    return found.reshape(-1, 2)


def write_rig(path: Path, rig: Rig, **changes: dict) -> Path:
    """A rig file; `changes` by the camera's name, None takes a key away."""
    content = rig.as_json()
    for camera in content["cameras"]:
        for key, value in changes.get(camera["name"], {}).items():
            camera[key] = value
            if value is None:
                del camera[key]
    path.write_text(json.dumps(content))
    return path


def write_frames(folder: Path, rig: Rig, count: int, hands=None) -> dict[str, list[dict]]:
    """Images ``<camera>/<frame>.png`` that show nothing, a rig file, and the keypoints of the hands
    in them as ``keypoints.json``, which moves by 1 cm a frame."""
    hands = example_points() if hands is None else hands
    marked: dict[str, list[dict]] = {}
    for camera in rig.cameras:
        (folder / camera.name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        for camera in rig.cameras:
            name = f"{camera.name}/{number:03d}.png"
            values = np.full((*SIZE[::-1], 3), 20 + 10 * number, np.uint8)
            Image.fromarray(values).save(folder / name)
            marked[name] = [
                {"side": side, "keypoints": seen(camera, points + [0.01 * number, 0, 0]).tolist()}
                for side, points in hands
            ]
    write_rig(folder / "rig.json", rig)
    (folder / "keypoints.json").write_text(json.dumps(marked))
    return marked
