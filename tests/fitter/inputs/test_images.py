"""Pictures: each kind of file read, or refused in a sentence."""

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.images import (
    DEFAULT_LIMITS,
    ReadLimits,
    read_image,
    read_image_and_exif,
)
from fitter.inputs.listing import ImageSource
from fitter.inputs.pixels import BACKGROUND
from tests.support.errors import raises
from tests.support.paths import ROOT

register_heif_opener()

FORMATS = {"jpg": "JPEG", "tif": "TIFF", "heic": "HEIF"}
"""Pillow's name of a format by its ending, where that is another."""


@pytest.fixture
def gradient():
    """A 64 x 48 picture whose every pixel differs, smooth enough for JPEG."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    return np.stack([x * 4, y * 5, 255 - 2 * (x + y)], axis=-1).astype(np.uint8)


def refuses(path, code, limits=DEFAULT_LIMITS, **facts):
    with raises(f"image.{code}", file=path, **facts) as caught:
        read_image(path, limits)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats_read_back(tmp_path, gradient, suffix):
    path = tmp_path / f"hand of Ömer.{suffix}"
    Image.fromarray(gradient).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path), gradient)


def test_the_content_decides_the_format(tmp_path, gradient):
    path = tmp_path / "really_webp.jpg"
    Image.fromarray(gradient).save(path, format="WEBP", lossless=True)
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, gradient)
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, gradient, orientation):
    """Stored pixels are the upright ones put through the inverse of what the tag asks for."""
    stored = {
        1: gradient,
        2: gradient[:, ::-1],
        3: gradient[::-1, ::-1],
        4: gradient[::-1],
        5: gradient.transpose(1, 0, 2),
        6: np.rot90(gradient, 1),
        7: gradient.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(gradient, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), gradient)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40)
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), values)
    expected = np.repeat(np.round(values / 257.0)[..., None], 3, axis=2)
    assert np.abs(read_image(path) - expected).max() <= 1


def test_16_bit_rgb_is_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 40 * 30 * 3).astype(np.uint16).reshape(30, 40, 3)
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), values[..., ::-1])
    assert np.abs(read_image(path) - values / 257.0).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "YCbCr"])
def test_other_modes_look_like_their_rgb_twin(tmp_path, gradient, mode):
    image = Image.fromarray(gradient).convert(mode)
    path = tmp_path / ("ink.tif" if mode in ("CMYK", "YCbCr") else "few.png")
    image.save(path)
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


def test_adobe_cmyk_jpeg_is_not_inverted(tmp_path):
    image = Image.new("RGB", (64, 48), (220, 60, 30))
    path = tmp_path / "ink.jpg"
    image.convert("CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()
    assert np.abs(read_image(path).astype(int) - [220, 60, 30]).max() <= 6


@pytest.mark.parametrize("kind", ["rgba", "palette", "rgb_key"])
def test_transparent_pixels_show_the_background(tmp_path, kind):
    path = tmp_path / "cut_out.png"
    if kind == "rgba":
        pixels = np.full((20, 20, 4), (200, 10, 10, 255), dtype=np.uint8)
        pixels[:10, :, 3] = 0
        Image.fromarray(pixels).save(path)
    else:
        image = Image.new("RGB", (20, 20), (200, 10, 10))
        image.paste((0, 255, 0), (0, 0, 20, 10))
        if kind == "palette":
            image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
            image.save(path, transparency=image.getpixel((0, 0)))
        else:
            image.save(path, transparency=(0, 255, 0))
    pixels = read_image(path)
    assert (pixels[:10] == BACKGROUND).all()
    assert (pixels[10:] == (200, 10, 10)).all()


def test_half_transparency_mixes(tmp_path):
    path = tmp_path / "veil.png"
    Image.new("RGBA", (20, 20), (228, 28, 128, 128)).save(path)
    assert np.abs(read_image(path).astype(int) - [241, 141, 191]).max() <= 1


def test_refuses_an_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    refuses(path, "empty")


def test_refuses_text_named_like_a_picture(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("this is no picture")
    refuses(path, "format")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")
def test_no_file_is_handed_to_another_program(tmp_path, monkeypatch):
    # Pillow would give PostScript to Ghostscript, whatever the file is called.
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "photo.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n"
    )
    refuses(path, "format")
    assert not (tmp_path / "called").exists()


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    refuses(tmp_path / "missing.jpg", "missing")
    (tmp_path / "folder.jpg").mkdir()
    refuses(tmp_path / "folder.jpg", "folder")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif", "heic", "avif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_refuses_a_cut_off_file(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, format=FORMATS.get(suffix, suffix))
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data.getvalue()[: int(share * len(data.getvalue()))])
    refuses(path, "damaged")


def test_refuses_a_picture_too_small_to_hold_a_hand(tmp_path):
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    refuses(path, "too_small", min_side=16, width=1, height=1)


def test_refuses_more_pixels_than_the_limit(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (300, 200)).save(path)
    limits = ReadLimits(max_pixels=50_000)
    refuses(path, "too_large", limits, max_pixels=50_000, pixels=60_000)


def test_a_decompression_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(path)
    refuses(path, "far_too_large", max_pixels=150_000_000)


def test_a_108_megapixel_picture_is_read_without_a_warning(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.new("L", (12_000, 9_000), 77).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read_image(path)
    assert pixels.shape == (9_000, 12_000, 3)
    assert pixels[4_000, 5_000].tolist() == [77, 77, 77]


def test_refuses_a_file_without_permission(tmp_path, gradient):
    path = tmp_path / "secret.png"
    Image.fromarray(gradient).save(path)
    path.chmod(0)
    if os.geteuid() != 0:
        refuses(path, "permission")
        return
    # Nothing is forbidden to root, so another user tries.
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fitter.inputs.images import read_image\n"
        "from fitter.errors import InputError\n"
        "os.setuid(65534)\n"
        "try:\n"
        "    read_image(Path(sys.argv[1]))\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "no permission" in done.stdout, done.stderr


def test_damaged_exif_does_not_lose_the_picture(tmp_path, gradient):
    path = tmp_path / "a.png"
    Image.fromarray(gradient).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f garbage")
    pixels, exif = read_image_and_exif(path)
    np.testing.assert_array_equal(pixels, gradient)
    assert exif == CameraExif()


@pytest.mark.skipif("HAND_REAL_DATA" not in os.environ, reason="needs the real pictures")
def test_real_photographs_are_read():
    photos = Path(os.environ["HAND_REAL_DATA"]) / "photos"
    names = ImageSource.of([str(photos)]).names()
    shapes = {name: read_image(photos / name).shape for name in names}
    assert shapes["wilor_test3.jpg"] == (600, 600, 3)  # a WebP picture by content
    assert len(shapes) == 6
