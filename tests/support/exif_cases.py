"""What EXIF blocks of real cameras, phones, editors and messengers say, with the true focal length.

The numbers are those that such files have; where a program rewrote or dropped some, so did these.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image

from fitter.inputs.camera_exif import CameraExif, camera_exif

FILM_DIAGONAL = math.hypot(36, 24)


@dataclass(frozen=True)
class ExifCase:
    """A picture.

    Attributes:
        name: of the case.
        size: (width, height) of the upright picture as it is now.
        true: its focal length in pixels, of the camera's data sheet; None where nobody can know.
        tags: of EXIF and of the main directory, by their names.
        is_believed: whether EXIF is to be believed.
    """

    name: str
    size: tuple[int, int]
    true: float | None
    tags: dict[str, Any] = field(default_factory=dict)
    is_believed: bool = True


def exif_bytes(tags: dict[str, Any]) -> bytes:
    """An EXIF block."""
    exif = Image.Exif()
    in_exif = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        main = name in ("Make", "Model", "Software", "Orientation")
        (exif if main else in_exif)[ExifTags.Base[name]] = value
    return exif.tobytes()


def read_back(tags: dict[str, Any]) -> CameraExif:
    """What is read of it, through a file."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", exif=exif_bytes(tags))
    with Image.open(file) as image:
        return camera_exif(image)


def equivalent(mm: float, *pixels: int) -> float:
    """Focal length in pixels of a 35 mm equivalent, of a picture of the whole sensor."""
    return mm * math.hypot(*pixels) / FILM_DIAGONAL


def _size(width: int, height: int) -> dict[str, int]:
    return {"ExifImageWidth": width, "ExifImageHeight": height}


def _plane(x: float, y: float, unit: int) -> dict[str, float]:
    return {
        "FocalPlaneXResolution": x,
        "FocalPlaneYResolution": y,
        "FocalPlaneResolutionUnit": unit,
    }


IPHONE = {"Make": "Apple", "Model": "iPhone 12", "FocalLength": 4.2, "FocalLengthIn35mmFilm": 26}
IPHONE_6 = {"Make": "Apple", "Model": "iPhone 6", "FocalLength": 4.15}
PIXEL = {"Make": "Google", "Model": "Pixel 3", "FocalLength": 4.44, "FocalLengthIn35mmFilm": 27}
GALAXY = {"Make": "samsung", "FocalLength": 5.4, "FocalLengthIn35mmFilm": 23}
EOS_40D = {"Make": "Canon", "Model": "Canon EOS 40D", **_plane(4438.356, 4445.969, 2)}
S40 = {"Make": "Canon", "Model": "Canon PowerShot S40", **_plane(8114.29, 8114.29, 2)}
FULL = (4032, 3024)
PORTRAIT = (3024, 4032)

CASES = [
    # Phones' own pictures
    ExifCase("iphone", FULL, equivalent(26, *FULL), {**IPHONE, **_size(*FULL)}),
    ExifCase("iphone, turned by its orientation", PORTRAIT, equivalent(26, *FULL),
             {**IPHONE, **_size(*FULL), "Orientation": 6}),
    ExifCase("iphone, HEIC turned by the decoder", PORTRAIT, equivalent(26, *FULL),
             {**IPHONE, **_size(*FULL), "Orientation": 1}),
    ExifCase("iphone, square mode", (3024, 3024), equivalent(26, *FULL),
             {**IPHONE, **_size(3024, 3024)}),
    ExifCase("iphone, zoomed: the equivalent has the zoom", (3264, 2448),
             equivalent(29 * 136 / 69, 3264, 2448),
             {**IPHONE_6, "FocalLengthIn35mmFilm": 57, "DigitalZoomRatio": 136 / 69,
              **_size(3264, 2448)}),
    ExifCase("iphone, an app's 640 x 480", (640, 480), equivalent(28, 640, 480),
             {**IPHONE_6, "FocalLength": 3.99, "FocalLengthIn35mmFilm": 177, **_size(640, 480)},
             is_believed=False),
    ExifCase("iphone 14 pro, an app's 1920 x 1080", (1920, 1080), 24 * 5 / 3 * 1080 / FILM_DIAGONAL,
             {"Make": "Apple", "FocalLength": 6.86, "FocalLengthIn35mmFilm": 55,
              **_size(1920, 1080)}, is_believed=False),
    ExifCase("iphone, panorama", (4032, 1306), None, IPHONE, is_believed=False),
    ExifCase("pixel, a zoom of 0", FULL, equivalent(27, *FULL),
             {**PIXEL, "DigitalZoomRatio": 0, **_size(*FULL)}),
    ExifCase("android, zoomed: the equivalent lacks the zoom", FULL, equivalent(54, *FULL),
             {**PIXEL, "DigitalZoomRatio": 2, **_size(*FULL)}),
    ExifCase("galaxy", (4000, 3000), equivalent(23, 4000, 3000),
             {**GALAXY, "DigitalZoomRatio": 1, **_size(4000, 3000)}),
    ExifCase("galaxy, 16:9 of its 4:3", (4000, 2252), equivalent(23, 4000, 3000),
             {**GALAXY, **_size(4000, 2252)}),
    ExifCase("galaxy, as long as the screen", (4000, 1868), equivalent(23, 4000, 3000),
             {**GALAXY, **_size(4000, 1868)}),
    ExifCase("pixel, a program wrote an equivalent of 0", FULL, equivalent(24, *FULL),
             {"FocalLength": 6.9, "FocalLengthIn35mmFilm": 0}, is_believed=False),
    # Cameras' own pictures
    ExifCase("eos of 35 mm film's size", (8688, 5792), 50 / 36 * 8688,
             {"Make": "Canon", "Model": "Canon EOS 5DS R", "FocalLength": 50.0,
              **_plane(5991.724, 6002.073, 2), **_size(8688, 5792)}),
    ExifCase("eos", (3888, 2592), 135 / 22.2 * 3888,
             {**EOS_40D, "FocalLength": 135.0, **_size(3888, 2592)}),
    ExifCase("eos 20d's raw preview: another resolution than its own", (3504, 2336),
             23 / 22.5 * 3504,
             {"Make": "Canon", "Model": "Canon EOS 20D", "FocalLength": 23.0,
              **_plane(2886.36, 2885.81, 2), **_size(3504, 2336)}, is_believed=False),
    ExifCase("nikon z with both", (6048, 4024), 50 / 35.9 * 6048,
             {"Make": "NIKON CORPORATION", "Model": "NIKON Z 6", "FocalLength": 50.0,
              "FocalLengthIn35mmFilm": 50, **_plane(1680.0, 1680.0, 3), **_size(6048, 4024)}),
    ExifCase("sony, 16:9", (4240, 2384), 90 / 35.6 * 4240,
             {"Make": "SONY", "Model": "ILCE-7SM2", "FocalLength": 90.0,
              "FocalLengthIn35mmFilm": 90, **_size(4240, 2384)}),
    ExifCase("nikon, a long lens", (4288, 2848), 200 / 23.6 * 4288,
             {"Make": "NIKON CORPORATION", "Model": "NIKON D300", "FocalLength": 200.0,
              "FocalLengthIn35mmFilm": 300, "DigitalZoomRatio": 1.0, **_size(4288, 2848)}),
    ExifCase("gopro", (4000, 3000), equivalent(15, 4000, 3000),
             {"Make": "GoPro", "FocalLength": 3.0, "FocalLengthIn35mmFilm": 15,
              **_size(4000, 3000)}),
    ExifCase("fuji of 1997", (1024, 768), 5.8 / 4.8 * 1024,
             {"Make": "FUJIFILM", "Model": "DX-10", "FocalLength": 5.8,
              **_plane(2151.0, 2151.0, 3), **_size(1024, 768)}),
    ExifCase("digimax: an equivalent that never was true", (3072, 2304), equivalent(39, 3072, 2304),
             {"Make": "Samsung Techwin", "FocalLength": 8.0, "FocalLengthIn35mmFilm": 48388,
              **_size(3072, 2304)}, is_believed=False),
    # Resized
    ExifCase("iphone, resized, all kept", (1024, 768), equivalent(26, 1024, 768),
             {**IPHONE, **_size(*FULL)}),
    ExifCase("iphone, resized, size rewritten", (1600, 1200), equivalent(26, 1600, 1200),
             {**IPHONE, **_size(1600, 1200)}),
    ExifCase("iphone, turned and resized by an editor", (768, 1024), equivalent(26, 1024, 768),
             {**IPHONE, **_size(*FULL), "Software": "Adobe Photoshop 25.0"}),
    ExifCase("windows photo viewer", (364, 486), equivalent(35, 486, 364),
             {"FocalLength": 6.3, "FocalLengthIn35mmFilm": 35, **_size(1944, 2592),
              "Software": "Microsoft Windows Photo Viewer 6.1.7600.16385"}),
    ExifCase("powershot, resized, size kept", (480, 360), 21.3125 / 7.18 * 480,
             {**S40, "FocalLength": 21.3125, **_size(2272, 1704)}),
    ExifCase("eos, resized, size kept", (1024, 683), 135 / 22.2 * 1024,
             {**EOS_40D, "FocalLength": 135.0, **_size(3888, 2592)}),
    ExifCase("eos, resized and turned, size kept", (683, 1024), 50 / 22.2 * 1024,
             {**EOS_40D, "FocalLength": 50.0, **_size(3888, 2592)}),
    ExifCase("eos, lightroom's 2048 pixels", (2048, 1365), 50 / 22.2 * 2048,
             {**EOS_40D, "FocalLength": 50.0, **_size(2048, 1365),
              "Software": "Adobe Photoshop Lightroom 5.7.1 (Windows)"}, is_believed=False),
    ExifCase("eos, gimp's thumbnail", (100, 68), 135 / 22.2 * 100,
             {**EOS_40D, "FocalLength": 135.0, **_size(100, 68), "Software": "GIMP 2.4.5"},
             is_believed=False),
    ExifCase("kodak, gimp wrote two numbers for one", (100, 75), equivalent(102, 100, 75),
             {"Make": "EASTMAN KODAK COMPANY", "FocalLength": 16.8, "FocalLengthIn35mmFilm": 102,
              "ExifImageWidth": (100, 0), "ExifImageHeight": (75, 0), "Software": "GIMP 2.4.5"}),
    ExifCase("nikon, photoshop's 900 pixels", (900, 597), 200 / 23.6 * 900,
             {"Make": "NIKON CORPORATION", "Model": "NIKON D300", "FocalLength": 200.0,
              "FocalLengthIn35mmFilm": 300, **_size(900, 597),
              "Software": "Adobe Photoshop 7.0"}),
    ExifCase("powershot, halved, size rewritten by nobody knows what", (1136, 852),
             7.1 / 7.18 * 1136, {**S40, "FocalLength": 7.1, **_size(1136, 852)},
             is_believed=False),
    ExifCase("compact, halved by photoshop to a width that another sensor has", (2000, 1500),
             7.1 / 13.2 * 2000,
             {"FocalLength": 7.1, **_plane(3300.0, 3300.0, 3), **_size(2000, 1500),
              "Software": "Adobe Photoshop CS2"}, is_believed=False),
    ExifCase("both, the sensor's resolution is that of the original", (1600, 1200),
             equivalent(28, 1600, 1200),
             {"FocalLength": 5.8, "FocalLengthIn35mmFilm": 28, **_plane(5580.0, 5580.0, 3),
              **_size(1600, 1200)}),
    ExifCase("resolution of the original, no size", (640, 480), None,
             {"FocalLength": 5.6, **_plane(7170.0, 7170.0, 3)}, is_believed=False),
    ExifCase("resolution of the original, size rewritten", (640, 480), None,
             {"FocalLength": 5.6, **_plane(7170.0, 7170.0, 3), **_size(640, 480)},
             is_believed=False),
    ExifCase("the same with an equivalent", (640, 480), equivalent(26, 640, 480),
             {"FocalLength": 5.6, "FocalLengthIn35mmFilm": 26, **_plane(7170.0, 7170.0, 3),
              **_size(640, 480)}),
    # Cropped
    ExifCase("iphone, cropped to a square, size kept", (3024, 3024), equivalent(26, *FULL),
             {**IPHONE, **_size(*FULL)}),
    ExifCase("eos, cropped to a square, size kept", (2592, 2592), 50 / 22.2 * 3888,
             {**EOS_40D, "FocalLength": 50.0, **_size(3888, 2592)}),
    ExifCase("eos, cropped and resized", (1000, 1000), None,
             {**EOS_40D, "FocalLength": 50.0, **_size(3888, 2592)}, is_believed=False),
    ExifCase("iphone, cropped and resized", (1080, 1350), None, {**IPHONE, **_size(*FULL)},
             is_believed=False),
    ExifCase("lightroom, cropped to 5:4, size rewritten", (2000, 1600), None,
             {"FocalLength": 50.0, "FocalLengthIn35mmFilm": 50, **_size(2000, 1600),
              "Software": "Adobe Lightroom 7.1"}, is_believed=False),
    ExifCase("cropped, size lost", (1234, 987), None, {"FocalLengthIn35mmFilm": 26},
             is_believed=False),
    # Messengers
    ExifCase("whatsapp: nothing left", (1600, 1200), None, {}, is_believed=False),
    # Lies
    ExifCase("equivalent of 1000 mm", (640, 480), None, {"FocalLengthIn35mmFilm": 1000},
             is_believed=False),
    ExifCase("equivalent of 20000 mm", (640, 480), None, {"FocalLengthIn35mmFilm": 20000},
             is_believed=False),
    ExifCase("equivalent of 65535 mm beside a good lens", (640, 480), None,
             {"FocalLength": 4.2, "FocalLengthIn35mmFilm": 65535}, is_believed=False),
    ExifCase("equivalent of 1 mm", (640, 480), None, {"FocalLengthIn35mmFilm": 1},
             is_believed=False),
]  # fmt: skip
