"""Random hand poses that look like what hands do, and whether fingers pass through each other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.poses.finger_contact import hand_spheres, overlap
    from datasets.poses.sampler import pose_modes, sample_hand_angles, sample_mode_angles

__all__ = ["hand_spheres", "overlap", "pose_modes", "sample_hand_angles", "sample_mode_angles"]
_MODULES = {
    "hand_spheres": "finger_contact",
    "overlap": "finger_contact",
    "pose_modes": "sampler",
    "sample_hand_angles": "sampler",
    "sample_mode_angles": "sampler",
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: contact needs torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
