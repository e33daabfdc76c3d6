"""Masks: which pixels of a hand's square crop show the hand, and where that may be believed.

A mask comes from the user (`given_mask`), from a network (`network_mask`) or from GrabCut about a
mesh (`grabcut_mask`). Each takes the hand's crop (`fitter.records.HandCrop`) and the silhouette of
the mesh that was fitted to its keypoints.

Compute a mask by GrabCut:

```python
import numpy as np
from fitter.masks import grabcut_mask
from fitter.records import HandCrop

side, rng = 64, np.random.default_rng(0)
fingers = np.linspace(16, 48, 5)[:, None] * [1, 0] + np.linspace(34, 14, 4)[:, None, None] * [0, 1]
keypoints = np.concatenate([[[32.0, 54.0]], fingers.swapaxes(0, 1).reshape(20, 2)])
mesh = np.zeros((side, side))  # the silhouette of the mesh that was fitted to the keypoints
mesh[12:56, 12:52] = 1
pixels = np.where(mesh[..., None] > 0, [200, 150, 120], [40, 60, 90])  # skin before a wall
pixels = (pixels + rng.integers(-9, 9, (side, side, 3))).astype(np.uint8)
K, no_others = np.array([[100.0, 0, 32], [0, 100, 32], [0, 0, 1]]), np.empty((0, 21, 2))
crop = HandCrop(pixels, None, None, K, keypoints, np.ones(21), no_others)
found = grabcut_mask(crop, mesh)  # found.mask and found.weight (64, 64), found.source
assert found.source == "grabcut" and found.agreement > 0.9
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.masks.geometry import inside_image, resample_mask
    from fitter.masks.hand_mask import (
        HandMask,
        MaskSettings,
        agreement,
        given_mask,
        grabcut_mask,
        network_mask,
    )
    from fitter.masks.hiding import HidingSettings, without_hidden

__all__ = [
    "HandMask",
    "HidingSettings",
    "MaskSettings",
    "agreement",
    "given_mask",
    "grabcut_mask",
    "inside_image",
    "network_mask",
    "resample_mask",
    "without_hidden",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HandMask": "fitter.masks.hand_mask",
        "HidingSettings": "fitter.masks.hiding",
        "MaskSettings": "fitter.masks.hand_mask",
        "agreement": "fitter.masks.hand_mask",
        "given_mask": "fitter.masks.hand_mask",
        "grabcut_mask": "fitter.masks.hand_mask",
        "inside_image": "fitter.masks.geometry",
        "network_mask": "fitter.masks.hand_mask",
        "resample_mask": "fitter.masks.geometry",
        "without_hidden": "fitter.masks.hiding",
    },
)
