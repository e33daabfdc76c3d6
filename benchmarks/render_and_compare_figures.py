"""How far networks are off, as results say it: S2HAND's and Zhao's figures with their scatter."""

from __future__ import annotations

from typing import Any

import numpy as np

from init_net.training.autoencoder_evaluation import AutoencoderErrors
from init_net.training.evaluation import standard_error

DISTANCES = np.linspace(0, 30, 61)
"""Where the curves of Fig. 4 are kept: pixels of a crop that is `PAPER_SIDE` wide."""

PAPER_SIDE = 224
"""Pixels along a picture of FreiHAND, which Fig. 4 counts in."""

SETS = ("projected", "estimated", "detected")
"""Keypoints in the image: J^pro, J^2d, J^de."""


def summary(errors: AutoencoderErrors) -> dict[str, Any]:
    """Means over the hands, and the standard errors (``_se``) of those that decide; four digits."""
    said = errors.figures()
    scatter = {
        "pa_mpjpe_mm": errors.aligned.keypoints,
        "pa_mpvpe_mm": errors.aligned.vertices,
        "camera_mpjpe_mm": errors.camera.keypoints,
        "mpjpe_mm": errors.rooted,
        "keypoints_2d_px": errors.projected.mean(1),
    }
    said |= {f"{name}_se": standard_error(values) for name, values in scatter.items()}
    return {name: round(value, 4) for name, value in said.items() if np.isfinite(value)}


def keypoint_figures(errors: AutoencoderErrors, side: int) -> dict[str, Any]:
    """Each set of keypoints that is there: mean distance from the true ones, and the share of
    keypoints within `DISTANCES`, in pixels of a crop `PAPER_SIDE` wide.

    Args:
        errors: of N crops.
        side: of them, pixels.
    """
    said = {}
    for name in SETS:
        distance = getattr(errors, name) * PAPER_SIDE / side
        known = distance[np.isfinite(distance)]
        if len(known):
            within = np.searchsorted(np.sort(known), DISTANCES, side="right") / len(known)
            said[name] = {
                "px": round(float(known.mean()), 4),
                "curve": [round(float(share), 4) for share in within],
            }
    return {"hands": len(errors.rooted), **said}
