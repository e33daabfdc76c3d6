"""One picture whole, in every format and variant that is read."""

import io
import struct
import zlib

import numpy as np
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
"""First column, first row and steps of the passes of an interlaced PNG but the last."""


def originals(pixels: np.ndarray) -> dict[str, bytes]:
    """One picture whole in every format and variant; file name -> content.

    Args:
        pixels: (H, W, 3) uint8.
    """
    image = Image.fromarray(pixels)
    grey, palette = image.convert("L"), image.quantize(64)
    clear = image.copy()
    clear.putalpha(grey.point(lambda value: 128 + value // 2))
    exif = _exif()
    pages = {"save_all": True, "append_images": [image.rotate(9), image.rotate(20)]}
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    profile = {"icc_profile": b"profile " * 500}
    wanted = {
        "baseline.jpg": (image, {"quality": 90}),
        "restarts.jpg": (image, {"restart_marker_rows": 1, "subsampling": 2}),
        "progressive.jpg": (image, {"progressive": True, **profile}),
        "grey.jpg": (grey, {}),
        "cmyk.jpg": (image.convert("CMYK"), {"progressive": True}),
        "exif.jpeg": (image, {"exif": exif, **profile}),
        "rgb.png": (image, {"exif": exif, **profile}),
        "rgba.png": (clear, {}),
        "palette.png": (palette, {"transparency": bytes(range(64))}),
        "key.png": (image, {"transparency": (1, 2, 3)}),
        "grey16.png": (deep, {}),
        "bits1.png": (image.convert("1"), {}),
        "lossy.webp": (image, {}),
        "lossless.webp": (image, {"lossless": True, "method": 0}),
        "extended.webp": (clear, {"exif": exif, **profile}),
        "animated.webp": (image, {"duration": 40, **pages}),
        "lossy.avif": (image, {"quality": 90}),
        "clear.avif": (clear, {"exif": exif, "speed": 10}),
        "lossy.heic": (image, {"quality": 80}),
        "clear.heif": (clear, {"exif": exif, **profile}),
        "rgb.bmp": (image, {}),
        "palette.bmp": (palette, {}),
        "bits1.bmp": (image.convert("1"), {}),
        "raw.tif": (image, {"exif": exif}),
        "grey16.tif": (deep, {}),
        "float.tif": (image.convert("F"), {}),
        "cmyk.tif": (image.convert("CMYK"), {}),
        "pages.tif": (image, {"compression": "tiff_lzw", **pages}),
        "still.gif.png": (palette, {"format": "GIF"}),
        "animated.gif.jpg": (palette, {"format": "GIF", "transparency": 3, **pages}),
    }
    for kind in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd", "lzma"):
        wanted[f"{kind}.tiff"] = (image, {"compression": kind})
    wanted["fax.tiff"] = (image.convert("1"), {"compression": "group4"})
    whole = {name: _encoded(name, *how) for name, how in wanted.items()}
    whole["rgb16.png"] = _png(pixels.astype(">u2") * 257)
    whole["interlaced.png"] = _png(pixels, interlaced=True)
    whole["runs.bmp"] = _bmp_of_runs(np.asarray(palette), whole["palette.bmp"])
    return whole


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "a camera"
    tags = {"FocalLength": 4.5, "FocalLengthIn35mmFilm": 26, "FocalPlaneXResolution": 2540.0}
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner.update({ExifTags.Base[name]: value for name, value in tags.items()})
    exif.get_ifd(ExifTags.IFD.GPSInfo)[2] = (1.0, 2.0, 3.0)
    return exif


def _encoded(name: str, image: Image.Image, options: dict) -> bytes:
    register_heif_opener()
    endings = {
        "heic": "HEIF",
        "heif": "HEIF",
        "jpg": "JPEG",
        "jpeg": "JPEG",
        "tif": "TIFF",
        "tiff": "TIFF",
    }
    ending = name.rsplit(".", 1)[1]
    file = io.BytesIO()
    image.save(file, **{"format": endings.get(ending, ending), **options})
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(pixels: np.ndarray, interlaced: bool = False) -> bytes:
    height, width = pixels.shape[:2]
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] + [pixels[1::2]]
    rows = [b"\0" + row.tobytes() for part in (parts if interlaced else [pixels]) for row in part]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, 2, 0, 0, interlaced)
    body = png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def _bmp_of_runs(indices: np.ndarray, uncompressed: bytes) -> bytes:
    """A BMP of 8 bits a pixel in the run-length code, with the palette of another."""
    body = b""
    for row in indices[::-1]:
        starts = np.flatnonzero(np.diff(row, prepend=256 + int(row[0])))
        for start, length in zip(starts, np.diff(starts, append=len(row)), strict=True):
            body += bytes([min(length, 255), row[start]])
        body += b"\0\0"
    start = struct.unpack_from("<I", uncompressed, 10)[0]
    head = bytearray(uncompressed[:start])
    struct.pack_into("<I", head, 30, 1)
    struct.pack_into("<I", head, 34, len(body) + 2)
    return bytes(head) + body + b"\0\1"
