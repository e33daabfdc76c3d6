"""What tells one way of finding hands from another, for the store of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fitter.detection.backend import BackendName
from fitter.detection.mediapipe_task import task_identity
from fitter.detection.networks.weights import detector_digest
from fitter.errors import InputError


def detector_identity(backend: BackendName, file: Path | None) -> dict[str, str]:
    """Digests of the networks that find hands.

    Args:
        backend: that is used.
        file: of MediaPipe's hand landmarker, of a user's network, or None. Nothing is said of the
            networks inside the package: its version tells them.

    Raises:
        InputError: a file cannot be used; with a cluster nobody on this machine has read it.
    """
    if backend == "mediapipe":
        return task_identity(file)
    found = {"detector_networks_sha256": detector_digest()}
    if file is not None:
        found["detector_onnx_sha256"] = _digest(file)
    return found


def detector_packages(backend: BackendName) -> tuple[str, ...]:
    """Packages, beside those that every run needs, whose versions shape what is found."""
    packages: dict[BackendName, tuple[str, ...]] = {
        "builtin": ("ai-edge-litert",),
        "mediapipe": ("mediapipe",),
        "onnx": ("ai-edge-litert", "onnxruntime"),
    }
    return packages[backend]


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise InputError("onnx.missing", file=file) from error
    except OSError as error:
        raise InputError("onnx.cannot_run", file=file, reason=error.strerror) from error
