"""Task files: a hand landmarker's bundle of the networks inside the installed `mediapipe`.

It holds what the bundle holds that MediaPipe offers for download: the same two networks under the
same names, without compression.
"""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from fitter.detection.mediapipe_task import MODELS

NETWORKS = dict(
    zip(
        MODELS,
        ("palm_detection/palm_detection_full", "hand_landmark/hand_landmark_full"),
        strict=True,
    )
)


def network(name: str) -> bytes:
    """One of the networks inside `mediapipe`, such as "palm_detection/palm_detection_full"."""
    path = Path(importlib.util.find_spec("mediapipe").origin).parent / f"modules/{name}.tflite"
    if not path.exists():
        pytest.skip("this release of mediapipe carries no networks")
    return path.read_bytes()


def bundle(path: Path, compression: int = zipfile.ZIP_STORED, **changes: bytes | None) -> Path:
    """Write a task file.

    Args:
        path: the file to write.
        compression: of its members.
        changes: member without its ending -> other content, or None to leave it out.
    """
    members = {name: network(NETWORKS[name]) for name in MODELS}
    members |= {f"{name}.tflite": content for name, content in changes.items()}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            if content is not None:
                file.writestr(name, content)
    return path
