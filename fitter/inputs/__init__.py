"""What a run is given: images, intrinsics, keypoints and masks, from files and from arrays.

`ImageSource` lists images; `read_image` decodes one; `Intrinsics`, `KeypointFiles` and `MaskFolder`
say what files tell of each. Whatever is wrong with a file is an `InputError`.

The images below a folder, in the order in which a run takes them:

```python
from fitter.inputs import ImageSource, read_image

source = ImageSource.of(["photos"])
for name in source.names():
    print(name, read_image(source.root / name).shape)  # (H, W, 3) uint8, upright
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.inputs.arrays import check_mask, check_pixels
    from fitter.inputs.camera_exif import CameraExif
    from fitter.inputs.camera_matrices import check_intrinsics
    from fitter.inputs.given_hands import hand_observation
    from fitter.inputs.hand_sizes import HandSizes
    from fitter.inputs.images import (
        ImageEntry,
        ReadLimits,
        read_image,
        read_image_and_exif,
    )
    from fitter.inputs.intrinsics import Intrinsics
    from fitter.inputs.keypoint_files import KeypointFiles
    from fitter.inputs.listing import ImageSource
    from fitter.inputs.mask_files import MaskFolder, read_mask
    from fitter.inputs.names import NameList
    from fitter.inputs.sources import Sources

__all__ = [
    "CameraExif",
    "HandSizes",
    "ImageEntry",
    "ImageSource",
    "Intrinsics",
    "KeypointFiles",
    "MaskFolder",
    "NameList",
    "ReadLimits",
    "Sources",
    "check_intrinsics",
    "check_mask",
    "check_pixels",
    "hand_observation",
    "read_image",
    "read_image_and_exif",
    "read_mask",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CameraExif": "fitter.inputs.camera_exif",
        "HandSizes": "fitter.inputs.hand_sizes",
        "ImageEntry": "fitter.inputs.images",
        "ImageSource": "fitter.inputs.listing",
        "Intrinsics": "fitter.inputs.intrinsics",
        "KeypointFiles": "fitter.inputs.keypoint_files",
        "MaskFolder": "fitter.inputs.mask_files",
        "NameList": "fitter.inputs.names",
        "ReadLimits": "fitter.inputs.images",
        "Sources": "fitter.inputs.sources",
        "check_intrinsics": "fitter.inputs.camera_matrices",
        "check_mask": "fitter.inputs.arrays",
        "check_pixels": "fitter.inputs.arrays",
        "hand_observation": "fitter.inputs.given_hands",
        "read_image": "fitter.inputs.images",
        "read_image_and_exif": "fitter.inputs.images",
        "read_mask": "fitter.inputs.mask_files",
    },
)
