"""A lens as the fields of an image's row, `fitter.store.schema.ImageRow`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fitter.lens import MOST_COEFFICIENTS, Lens


def fields_of(lens: Lens) -> dict[str, Any]:
    """The fields of a lens whose size is known."""
    assert lens.size is not None
    coefficients = np.full(MOST_COEFFICIENTS, np.nan)
    coefficients[: len(lens.distortion)] = lens.distortion
    return {
        "lens_model": lens.model,
        "lens_intrinsics": lens.intrinsics,
        "lens_distortion": coefficients,
        "lens_width": lens.size[0],
        "lens_height": lens.size[1],
        "lens_scale": lens.scale,
    }


def lens_of(row: Mapping[str, Any]) -> Lens | None:
    """The lens of a row's values by their names; None where it has none."""
    if row["lens_model"] is None:
        return None
    coefficients = row["lens_distortion"]
    return Lens(
        np.asarray(row["lens_intrinsics"], np.float64),
        row["lens_model"],
        coefficients[np.isfinite(coefficients)],
        (int(row["lens_width"]), int(row["lens_height"])),
        float(row["lens_scale"]),
    )
