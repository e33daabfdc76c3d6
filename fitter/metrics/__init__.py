"""How far estimated hands are from annotated ones.

    points      3D and 2D keypoints or vertices, with and without an alignment
    curves      share within a distance, and the area under it
    surfaces    F-score, edges and normals of meshes
    penetration meshes in each other, contact, relative place
    masks       silhouettes
    sequences   jitter of videos
    freihand    FreiHAND's own evaluation, to its printed digits
    intervals   how certain a mean is

Every function takes batches, batch first, works in float64 and returns one figure per hand in the
unit of its input. A hand with a value that is not finite gets NaN and changes no other hand's
figure. The errors of vertices, absolute and aligned, are `mpjpe` and `pa_mpjpe` of the vertices.

```python
import numpy as np
from fitter import metrics

rng = np.random.default_rng(0)
truth = rng.normal(0, 0.04, (100, 21, 3)) + [0, 0, 0.5]
estimate = truth + rng.normal(0, 0.01, truth.shape)
error = metrics.pa_mpjpe(estimate, truth)
low, high = metrics.bootstrap_interval(error, seed=0)
assert low < error.mean() < high
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.metrics.curves import AUC_THRESHOLDS, auc, auc_per_hand, pck
    from fitter.metrics.freihand import FreiHandScores, freihand_scores
    from fitter.metrics.intervals import Interval, bootstrap_interval, bootstrap_means
    from fitter.metrics.masks import contour_distance, mask_accuracy, mask_iou
    from fitter.metrics.penetration import (
        ContactScores,
        PenetrationDepths,
        contact_scores,
        penetration_depth,
        relative_place_error,
    )
    from fitter.metrics.points import (
        bone_scale_aligned,
        keypoint_2d_error,
        known_points,
        mpjpe,
        pa_mpjpe,
        per_finger,
        point_errors,
        procrustes_aligned,
        root_aligned,
        scale_translation_aligned,
        similarity_onto,
    )
    from fitter.metrics.sequences import acceleration_error
    from fitter.metrics.surfaces import edge_error, fscore, normal_error

__all__ = [
    "AUC_THRESHOLDS",
    "ContactScores",
    "FreiHandScores",
    "Interval",
    "PenetrationDepths",
    "acceleration_error",
    "auc",
    "auc_per_hand",
    "bone_scale_aligned",
    "bootstrap_interval",
    "bootstrap_means",
    "contact_scores",
    "contour_distance",
    "edge_error",
    "freihand_scores",
    "fscore",
    "keypoint_2d_error",
    "known_points",
    "mask_accuracy",
    "mask_iou",
    "mpjpe",
    "normal_error",
    "pa_mpjpe",
    "pck",
    "penetration_depth",
    "per_finger",
    "point_errors",
    "procrustes_aligned",
    "relative_place_error",
    "root_aligned",
    "scale_translation_aligned",
    "similarity_onto",
]

_HOMES = {
    "curves": ("AUC_THRESHOLDS", "auc", "auc_per_hand", "pck"),
    "freihand": ("FreiHandScores", "freihand_scores"),
    "intervals": ("Interval", "bootstrap_interval", "bootstrap_means"),
    "masks": ("contour_distance", "mask_accuracy", "mask_iou"),
    "penetration": (
        "ContactScores",
        "PenetrationDepths",
        "contact_scores",
        "penetration_depth",
        "relative_place_error",
    ),
    "points": (
        "bone_scale_aligned",
        "keypoint_2d_error",
        "known_points",
        "mpjpe",
        "pa_mpjpe",
        "per_finger",
        "point_errors",
        "procrustes_aligned",
        "root_aligned",
        "scale_translation_aligned",
        "similarity_onto",
    ),
    "sequences": ("acceleration_error",),
    "surfaces": ("edge_error", "fscore", "normal_error"),
}

__getattr__, __dir__ = lazy_face(
    __name__, {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}
)
