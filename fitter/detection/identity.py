"""What tells one way of finding hands from another, for the store of a run."""

from __future__ import annotations

from pathlib import Path

from fitter.detection.backend import BackendName
from fitter.detection.mediapipe_task import task_identity
from fitter.detection.networks.weights import detector_digest


def detector_identity(backend: BackendName, task: Path | None) -> dict[str, str]:
    """Digests of the networks that find hands.

    Args:
        backend: that is used.
        task: file of MediaPipe's hand landmarker, or None. Nothing is said of the networks inside
            the package: its version tells them.

    Raises:
        InputError: a file cannot be used; with a cluster nobody on this machine has read it.
    """
    if backend == "builtin":
        return {"detector_networks_sha256": detector_digest()}
    return task_identity(task)


def detector_packages(backend: BackendName) -> tuple[str, ...]:
    """Packages, beside those that every run needs, whose versions shape what is found."""
    return ("ai-edge-litert",) if backend == "builtin" else ("mediapipe",)
