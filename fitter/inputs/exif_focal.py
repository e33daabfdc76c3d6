"""The focal length that a picture's EXIF block gives, and whether it is to be believed.

Two entries give one: the sensor's resolution with the focal length in millimetres, and the 35 mm
equivalent. Whoever resizes, crops or turns a picture mostly keeps both, so that they tell of
another picture; some cameras and programs write numbers that never were true. So each is held
against the sensor that it implies, against the fields of view that lenses have, and against the
other; `docs/cameras.md` has the rules, and what real files say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fitter.inputs.camera_exif import CameraExif

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a 35 mm film frame. Equivalent focal lengths compare diagonals (CIPA DCG-001), which
is what cameras with sensors that are not 3:2 write."""

ASPECT_TOLERANCE = 0.01
"""Relative difference between a picture's aspect and the one in its EXIF block above which it is
another; to it comes what rounding does to the sides of a small picture."""

MIN_FOCAL_RATIO = 0.1
"""Smallest believable focal length as a share of the longer side (a field of view of 157 degrees);
less means a K in other units, such as shares of the width."""

SENSOR_DIAGONAL_MM = (3.0, 70.0)
"""Sensors that there are: from the front cameras of phones (1/5 inch, 3.6 mm) to medium format
(54 x 40 mm, 67 mm). A smaller one is the sign of a picture that was resized."""

EQUIVALENT_MM = (7.0, 800.0)
"""35 mm equivalents of lenses that there are, fisheyes and long telephotos among them: what two
entries that agree may say."""

ORDINARY_MM = (10.0, 150.0)
"""35 mm equivalents of lenses that people photograph hands with: an entry that nothing confirms may
say no other. 150 mm see 13.7 degrees along the longer side."""

AGREEMENT = 0.2
"""Relative difference between both entries up to which they say the same. Equivalents are rounded
to whole millimetres, and some phones' are off by a sixth."""

EOS_WIDTHS_MM = (22.2, 22.7, 27.9, 28.7, 35.8, 36.0)
"""Widths of the sensors of Canon EOS cameras, in millimetres. These cameras write no equivalent, so
nothing else shows that an editor has resized such a picture and rewritten its size."""

SENSOR_WIDTHS_MM = (
    4.8,
    5.37,
    5.76,
    6.17,
    7.18,
    7.44,
    7.6,
    8.8,
    13.2,
    17.3,
    18.7,
    23.6,
    *EOS_WIDTHS_MM,
)
"""Widths in millimetres of the usual sensors, of 1/3, 1/2.7, 1/2.5, 1/2.3, 1/1.8, 1/1.7, 1/1.6,
2/3, 1, 4/3 and 1.5 inches, APS-C, Canon's and 35 mm film. A camera's own picture implies one of
these, one that was resized and had its size rewritten mostly none."""

WIDTH_TOLERANCE = 0.03
"""Relative difference up to which a width is one of these."""

PHONE_CROP_FACTOR = 2.5
"""Equivalent over true focal length above which a sensor (less than 17 mm across) is 4:3."""

WIDEST_ASPECT = 2.4
"""Longer over shorter side above which a picture is a panorama or a strip of another one; the
screens of phones, which some take pictures for, go up to 21:9."""

CAMERA_ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9)
"""Aspects of the pictures that cameras take, beside those of at least 2 that phones do. Where an
editor was at work, or EXIF has lost the camera's own size, any other is that of a crop."""

MAIN_LENS_MM = (20.0, 36.0)
"""35 mm equivalents of the main cameras of phones."""

SMALL_IPHONE_PIXELS = 4_000_000
"""Pixels below which a picture was not taken by an iPhone's own camera program. Other programs can
ask for fewer, and the equivalent is then multiplied by the diagonal of the full picture over theirs
(177 mm at 640 x 480 for a lens of 28 mm), as if the rest had been cut away."""

EDITORS = ("adobe", "photoshop", "lightroom", "gimp", "picasa", "snapseed", "paint", "photo viewer",
           "capture one", "darktable", "affinity", "acdsee", "irfanview", "xnview", "photoscape",
           "viewnx", "imagemagick", "photofiltre", "corel", "luminar", "faststone")  # fmt: skip
"""Programs in EXIF's Software that resize pictures and rewrite their size; in lower case."""


@dataclass(frozen=True)
class ExifFocal:
    """What EXIF says of the focal length, judged.

    Attributes:
        focal: (fx, fy) in pixels of the upright picture as it is now; None where nothing is
            believed.
        note: which entry was believed and which was not, and why; empty where EXIF has none.
    """

    focal: tuple[float, float] | None
    note: str


@dataclass(frozen=True)
class _Frame:
    """The picture as the camera took it, upright, and what became of it.

    Attributes:
        size: (width, height), pixels then; None where EXIF does not tell.
        scale: pixels now per pixel then.
        swaps_axes: whether x now was y on the sensor.
        change: what was done to it.
    """

    size: tuple[int, int] | None
    scale: float
    swaps_axes: bool
    change: Literal["none", "resized", "cropped", "unknown"]


@dataclass(frozen=True)
class _Entry:
    """What one of the two entries gives.

    Attributes:
        title: what to call it.
        focal: (fx, fy) in pixels; None where it is not usable.
        equivalent: 35 mm equivalent of the whole picture, millimetres.
        doubt: why it is not believed; empty where it is.
        is_confirmed: whether something beside it shows that it belongs to this picture.
    """

    title: str
    focal: tuple[float, float] | None = None
    equivalent: float = math.nan
    doubt: str = ""
    is_confirmed: bool = False


def focal_from_exif(exif: CameraExif, size: tuple[int, int]) -> tuple[float, float] | None:
    """Focal lengths from EXIF, in pixels of the upright picture as it is now.

    Args:
        exif: what the picture says about its camera.
        size: (width, height) of the upright picture.

    Returns:
        (fx, fy), or None when EXIF does not determine them; `judged_exif` says why.
    """
    return judged_exif(exif, size).focal


def judged_exif(exif: CameraExif, size: tuple[int, int]) -> ExifFocal:
    """What of the picture's EXIF block is believed.

    The sensor's resolution is preferred to an equivalent that says the same, because that is
    rounded; where they differ the equivalent is believed, because no resizing makes it wrong.

    Args:
        exif: what the picture says about its camera.
        size: (width, height) of the upright picture as it is now.

    Returns:
        The focal lengths in pixels, or None, and a note.
    """
    frame = _frame(exif, size)
    found = [e for e in (_plane(exif, frame), _equivalent(exif, frame, size)) if e]
    if not found:
        return ExifFocal(None, "")
    if len(found) == 2 and not any(entry.doubt for entry in found):
        plane, equivalent = found
        if abs(plane.equivalent / equivalent.equivalent - 1) <= AGREEMENT:
            found = [_confirmed(plane), _confirmed(equivalent)]
        else:
            found[0] = _doubted(plane, f"the 35 mm equivalent is {equivalent.equivalent:.0f} mm")
    found = [_within_range(entry) for entry in found]
    believed = next((entry for entry in found if not entry.doubt), None)
    doubts = "; ".join(
        f"{entry.title} not believed: {entry.doubt}" for entry in found if entry.doubt
    )
    if believed is None:
        return ExifFocal(None, f"EXIF: {doubts}")
    how = {"resized": ", resized since", "cropped": ", cropped since"}.get(frame.change, "")
    said = f"EXIF: {believed.title}{how}"
    return ExifFocal(believed.focal, f"{said}; {doubts}" if doubts else said)


def _confirmed(entry: _Entry) -> _Entry:
    return _Entry(entry.title, entry.focal, entry.equivalent, entry.doubt, True)


def _doubted(entry: _Entry, doubt: str) -> _Entry:
    return _Entry(entry.title, entry.focal, entry.equivalent, doubt)


def _within_range(entry: _Entry) -> _Entry:
    """Doubted, if no lens has such a field of view, or none that one entry alone is believed."""
    if entry.doubt:
        return entry
    least, most = EQUIVALENT_MM if entry.is_confirmed else ORDINARY_MM
    if least <= entry.equivalent <= most:
        return entry
    alone = "" if entry.is_confirmed else ", and nothing confirms it"
    return _doubted(entry, f"it sees as {entry.equivalent:.0f} mm do on 35 mm film{alone}")


def _frame(exif: CameraExif, size: tuple[int, int]) -> _Frame:
    """What was done to the picture since the camera wrote its size."""
    if exif.pixel_size is None:
        return _Frame(None, 1.0, exif.swaps_axes, "unknown")
    as_written = exif.pixel_size
    for swaps in (exif.swaps_axes, not exif.swaps_axes):  # some editors turn the pixels alone
        width, height = (as_written[1], as_written[0]) if swaps else as_written
        rounding = 1 / min(size) if size != (width, height) else 0.0
        if abs(width * size[1] / (height * size[0]) - 1) <= ASPECT_TOLERANCE + rounding:
            change: Literal["none", "resized"] = "none" if size == (width, height) else "resized"
            return _Frame((width, height), max(size) / max(width, height), swaps, change)
    for swaps in (exif.swaps_axes, not exif.swaps_axes):
        width, height = (as_written[1], as_written[0]) if swaps else as_written
        fits = size[0] <= width and size[1] <= height
        if fits and (size[0] == width or size[1] == height):  # so it was not resized as well
            return _Frame((width, height), 1.0, swaps, "cropped")
    return _Frame(None, 1.0, exif.swaps_axes, "cropped")


def _plane(exif: CameraExif, frame: _Frame) -> _Entry | None:
    """The sensor's resolution with the focal length; None where EXIF has not both."""
    if exif.focal_mm is None or exif.plane_pixels_per_mm is None:
        return None
    entry = _Entry(f"focal length of {exif.focal_mm:.4g} mm with the sensor's resolution")
    if frame.size is None:
        lost = "of its size EXIF says nothing" if frame.change == "unknown" else _CROPPED
        return _doubted(entry, lost)
    x, y = exif.plane_pixels_per_mm
    density = (y, x) if frame.swaps_axes else (x, y)
    sensor = (frame.size[0] / density[0], frame.size[1] / density[1])
    diagonal = math.hypot(*sensor)
    implied = f"it implies a sensor of {max(sensor):.3g} x {min(sensor):.3g} mm"
    if not SENSOR_DIAGONAL_MM[0] <= diagonal <= SENSOR_DIAGONAL_MM[1]:
        return _doubted(entry, f"{implied}, so the picture was resized since")
    is_eos = "eos" in exif.model.lower().split()
    widths = EOS_WIDTHS_MM if is_eos else SENSOR_WIDTHS_MM
    is_usual = any(abs(max(sensor) / width - 1) <= WIDTH_TOLERANCE for width in widths)
    if not is_usual and (is_eos or (frame.change == "none" and exif.focal_35mm is None)):
        return _doubted(entry, f"{implied}, and no {'EOS camera' if is_eos else 'camera'} has that")
    # Editors rewrite the size when they resize, so that a size that fits says nothing.
    if _was_edited(exif) and frame.change == "none" and not is_eos and exif.focal_35mm is None:
        return _doubted(entry, f"{exif.software} may have resized the picture")
    zoom = _zoom(exif)
    focal = (
        exif.focal_mm * density[0] * frame.scale * zoom,
        exif.focal_mm * density[1] * frame.scale * zoom,
    )
    equivalent = exif.focal_mm * zoom * FILM_DIAGONAL_MM / diagonal
    is_confirmed = is_eos or frame.change == "resized"
    return _Entry(entry.title, focal, equivalent, is_confirmed=is_confirmed)


_CROPPED = "the picture was cropped since, and perhaps resized"


def _equivalent(exif: CameraExif, frame: _Frame, size: tuple[int, int]) -> _Entry | None:
    """The 35 mm equivalent; None where EXIF has none."""
    if exif.focal_35mm is None:
        return None
    entry = _Entry(f"35 mm equivalent of {exif.focal_35mm:.5g} mm")
    if frame.change == "cropped" and frame.size is None:
        return _doubted(entry, _CROPPED)
    whole = frame.size or size
    if max(whole) > WIDEST_ASPECT * min(whole):
        return _doubted(entry, f"no camera takes {whole[0]} x {whole[1]} pixels at once")
    is_untouched = frame.change != "unknown" and not _was_edited(exif)
    if not is_untouched and not _is_of_camera(whole):
        return _doubted(entry, f"no camera takes {whole[0]} x {whole[1]} pixels, so it was cropped")
    equivalent = _with_zoom(exif)
    # Of the sensor itself: the equivalent of a zoomed picture is that of its middle.
    zoom = _zoom(exif) if equivalent == exif.focal_35mm else 1.0
    factor = None if exif.focal_mm is None else exif.focal_35mm / (zoom * exif.focal_mm)
    if factor is not None:
        diagonal = FILM_DIAGONAL_MM / factor
        if not SENSOR_DIAGONAL_MM[0] <= diagonal <= SENSOR_DIAGONAL_MM[1]:
            said = f"with a focal length of {exif.focal_mm:.3g} mm it implies a sensor"
            return _doubted(entry, f"{said} of {diagonal:.2g} mm across")
    if _is_small_iphone(exif, whole) and exif.focal_35mm / zoom > MAIN_LENS_MM[1]:
        doubt = f"at {whole[0]} x {whole[1]} pixels iPhones multiply it"
        return _doubted(entry, doubt)
    focal = equivalent * _diagonal(whole, factor) * frame.scale / FILM_DIAGONAL_MM
    return _Entry(entry.title, (focal, focal), equivalent, is_confirmed=factor is not None)


def _diagonal(whole: tuple[int, int], factor: float | None) -> float:
    """Diagonal in pixels of the sensor that a picture was taken with.

    Pictures of phones that are not 4:3 (16:9, square, as long as the screen) are cut out of one
    that is, and keep its equivalent.
    """
    if factor is None or factor < PHONE_CROP_FACTOR:
        return math.hypot(*whole)
    longer, shorter = max(whole), min(whole)
    return math.hypot(max(longer, shorter * 4 / 3), max(shorter, longer * 3 / 4))


def _was_edited(exif: CameraExif) -> bool:
    return any(name in exif.software.lower() for name in EDITORS)


def _is_of_camera(whole: tuple[int, int]) -> bool:
    aspect, tolerance = max(whole) / min(whole), ASPECT_TOLERANCE + 1 / min(whole)
    return aspect >= 2 - tolerance or any(
        abs(aspect / known - 1) <= tolerance for known in CAMERA_ASPECTS
    )


def _zoom(exif: CameraExif) -> float:
    return max(exif.digital_zoom or 1.0, 1.0)


def _with_zoom(exif: CameraExif) -> float:
    """The 35 mm equivalent of what a zoomed picture shows.

    By its definition the entry is that, and iPhones write it so. Of other cameras one that is a
    phone's main lens, and would be wider than any main lens before the zoom, is without it.
    """
    assert exif.focal_35mm is not None
    zoom, (least, most) = _zoom(exif), MAIN_LENS_MM
    if zoom <= 1 or exif.make.lower() == "apple" or exif.focal_mm is None:
        return exif.focal_35mm
    is_without = exif.focal_35mm / zoom < least <= exif.focal_35mm <= most
    return exif.focal_35mm * zoom if is_without else exif.focal_35mm


def _is_small_iphone(exif: CameraExif, whole: tuple[int, int]) -> bool:
    return exif.make.lower() == "apple" and whole[0] * whole[1] < SMALL_IPHONE_PIXELS
