"""Which variables some stores have and others lack, see `fitter.store.schema`."""

from __future__ import annotations

OPTIONAL_DIMENSIONS = (
    "shape_information_entry",
    "motion_information_entry",
    "vertex",
    "offset_vertex",
    "colour_vertex",
    "appearance_component",
    "light_coefficient",
    "texel_row",
    "texel_column",
    "lens_coefficient",
)
"""Dimensions that a store may lack; it then lacks the variables that have them."""

PEOPLE_VARIABLES = frozenset({"person"})
"""Variables of stores whose hands are grouped by person, and of no others."""

TRACK_VARIABLES = frozenset({"track", "filled"})
"""Variables of stores that hold videos whose hands are tracked, and of no others."""

PASS_VARIABLES = frozenset({"detections"})
"""Variables of the rows of passes before the last one of runs that detect, and of no others."""

LENS_VARIABLES = frozenset(
    {"lens_model", "lens_intrinsics", "lens_distortion", "lens_width", "lens_height", "lens_scale"}
)
"""Variables of stores with images of lenses that distort, which have the dimension
"lens_coefficient", and of no others."""
