"""Finding hands: an image in, `HandObservation`s out.

`HandDetector` runs MediaPipe's networks and looks at every hand twice. Anything that has the
method of `Detector` may take its place.

```python
import numpy as np
from PIL import Image
from fitter.detection import DetectorOptions, HandDetector
from fitter.records import ImageRecord

pixels = np.array(Image.open("photo.jpg").convert("RGB"))
height, width = pixels.shape[:2]
K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
with HandDetector(DetectorOptions(max_hands=2)) as detector:
    hands = detector.detect(ImageRecord("photo", "photo.jpg", pixels, K, "given"))
assert sorted(hand.side for hand in hands) == ["left", "right"]
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.detection.backend import Backend, load_backend
    from fitter.detection.detector import Detector, DetectorOptions, HandDetector
    from fitter.detection.mediapipe_task import require_bundle

__all__ = [
    "Backend",
    "Detector",
    "DetectorOptions",
    "HandDetector",
    "load_backend",
    "require_bundle",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Backend": "fitter.detection.backend",
        "load_backend": "fitter.detection.backend",
        "Detector": "fitter.detection.detector",
        "DetectorOptions": "fitter.detection.detector",
        "HandDetector": "fitter.detection.detector",
        "require_bundle": "fitter.detection.mediapipe_task",
    },
)
