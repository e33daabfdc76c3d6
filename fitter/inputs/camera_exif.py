"""What a picture's EXIF block says about its camera, read and not yet judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image


@dataclass(frozen=True)
class CameraExif:
    """What a picture's EXIF block says about its camera; None or empty where it says nothing
    usable. `fitter.inputs.exif_focal` says what of it is believed.

    Attributes:
        focal_mm: focal length in millimetres.
        focal_35mm: focal length in millimetres of the 35 mm film camera with the same view.
        plane_pixels_per_mm: (x, y) pixels per millimetre on the sensor, at `pixel_size`.
        pixel_size: (width, height) the camera wrote, before `orientation` is applied.
        swaps_axes: whether the orientation turns the picture by a quarter.
        digital_zoom: how many times the picture was enlarged by cutting out its middle.
        make: who made the camera.
        model: which camera.
        software: what wrote the file last, a camera's firmware or an editor.
    """

    focal_mm: float | None = None
    focal_35mm: float | None = None
    plane_pixels_per_mm: tuple[float, float] | None = None
    pixel_size: tuple[int, int] | None = None
    swaps_axes: bool = False
    digital_zoom: float | None = None
    make: str = ""
    model: str = ""
    software: str = ""


def camera_exif(image: Image.Image) -> CameraExif:
    """What an opened picture says about its camera; a damaged block raises what Pillow raises."""
    exif = image.getexif()
    tags = exif.get_ifd(ExifTags.IFD.Exif)
    width = _positive(tags.get(ExifTags.Base.ExifImageWidth))
    height = _positive(tags.get(ExifTags.Base.ExifImageHeight))
    size = (round(width), round(height)) if width and height else None
    return CameraExif(
        focal_mm=_positive(tags.get(ExifTags.Base.FocalLength)),
        focal_35mm=_positive(tags.get(ExifTags.Base.FocalLengthIn35mmFilm)),
        plane_pixels_per_mm=_plane_resolution(tags),
        pixel_size=size,
        swaps_axes=_swaps_axes(image, exif, size),
        digital_zoom=_positive(tags.get(ExifTags.Base.DigitalZoomRatio)),
        make=_text(exif.get(ExifTags.Base.Make)),
        model=_text(exif.get(ExifTags.Base.Model)),
        software=_text(exif.get(ExifTags.Base.Software)),
    )


def _swaps_axes(image: Image.Image, exif: Image.Exif, size: tuple[int, int] | None) -> bool:
    # A HEIF picture is upright when it is opened, and its EXIF block no longer says how it was
    # turned. That block may also have been wrong from the first: nothing turns by it.
    turned = image.info.get("original_orientation")
    if turned is None or image.format != "HEIF":
        return exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    is_turned = size is None or (size[0] > size[1]) != (image.width > image.height)
    return turned in (5, 6, 7, 8) and is_turned


def _plane_resolution(tags: dict[int, Any]) -> tuple[float, float] | None:
    x = _positive(tags.get(ExifTags.Base.FocalPlaneXResolution))
    y = _positive(tags.get(ExifTags.Base.FocalPlaneYResolution)) or x
    # EXIF 2.3: 2 is inch (the default) and 3 centimetre; 4 and 5 are TIFF/EP's mm and micrometre.
    millimetres = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
    unit = millimetres.get(tags.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    return (x / unit, y / unit) if x and y and unit else None


def _positive(value: Any) -> float | None:
    if isinstance(value, tuple) and value:  # GIMP 2.4 wrote a size as two short numbers
        value = value[0]
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _text(value: Any) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
