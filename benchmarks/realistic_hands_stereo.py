"""Table 4 of RealisticHands: hands from the right view alone, and from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from init_net.networks.stereo import StereoHandNet
from init_net.samples.config import StereoSamplesConfig
from init_net.samples.stereo_samples import StereoCropper
from init_net.samples.stereo_shards import StereoShards
from init_net.training.stereo_evaluation import StereoErrors, ViewErrors

FIGURES = {
    "mpvpe_mm": "pa_mpvpe_mm",
    "f_5": "f_5",
    "f_15": "f_15",
    "place_mm": "place_mm",
}
"""Name in a result -> name in `ViewErrors.figures`."""


def stereo_figures(
    network: StereoHandNet, folder: Path, count: int, held_out: int
) -> dict[str, Any]:
    """How far hands are off, on pairs that nothing was learned from.

    Args:
        network: with its stereo layer.
        folder: of the rendered pairs.
        count: how many of them there are; the part that the training holds out is measured.
        held_out: pairs that are measured, at most.
    """
    _, rest = StereoShards(folder, count).parted(StereoSamplesConfig().portion)
    size, margin = network.config.input_size, network.config.margin
    errors = StereoErrors.of(
        network, StereoCropper(rest.subset(np.arange(min(held_out, len(rest)))), size, margin, None)
    )
    gain, gain_error = errors.gain()
    return {
        "hands": len(errors.weights),
        "mono": _of(errors.mono),
        "stereo": _of(errors.stereo),
        "gain_mm": round(gain, 4),
        "gain_mm_se": round(gain_error, 4),
        "weight": round(float(errors.weights.mean()), 4),
    }


def _of(errors: ViewErrors) -> dict[str, float]:
    """Means and, ``_se``, standard errors over the hands; four digits."""
    means, spread = errors.figures(), errors.standard_errors()
    said = {name: means[theirs] for name, theirs in FIGURES.items()}
    said |= {f"{name}_se": spread[theirs] for name, theirs in FIGURES.items()}
    return {name: round(value, 4) for name, value in said.items()}
