"""Pictures of more than 8 bits a channel: scaled by what they hold, whatever file they are in."""

import struct

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from fitter.inputs.deep_pixels import Range, range_of
from fitter.inputs.images import read_image, read_picture
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.picture_variants import png_chunk


@pytest.fixture(scope="module")
def colours():
    """(64, 96, 3) in [0, 1], from black to white."""
    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((96, 64))).astype(float)
    low, high = np.percentile(pixels, [0.5, 99.5])  # so that the 0.1 percentile is black
    return ((pixels - low) / (high - low)).clip(0, 1)


@pytest.fixture(scope="module")
def grey(colours):
    values = colours.mean(axis=2)
    low, high = np.percentile(values, [0.5, 99.5])
    return ((values - low) / (high - low)).clip(0, 1)


def written(path, values, **exif):
    if values.ndim == 3:
        order = cv2.COLOR_RGB2BGR if values.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        assert cv2.imwrite(str(path), cv2.cvtColor(values, order))
    else:
        Image.fromarray(values).save(path, **exif)
    return path


def tiff_of(values, orientation):
    """A plain TIFF of (H, W, 3) uint16."""
    height, width = values.shape[:2]
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 14), (274, 3, 1, orientation), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, values.nbytes),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    start = struct.pack("<2sHI3H", b"II", 42, 14 + values.nbytes, 16, 16, 16)
    return start + values.astype("<u2").tobytes() + directory


def off(read, share):
    """Largest difference in steps of 255 from shares of white, (H, W) or (H, W, 3)."""
    share = share if share.ndim == 3 else share[..., None]
    return np.abs(read.astype(float) - 255 * share).max()


class TestWholeNumbers:
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_bits_in_16_are_as_bright_as_they_were_meant(self, tmp_path, grey, bits, ending):
        values = np.round(grey * (2**bits - 1)).astype(np.uint16)
        assert off(read_image(written(tmp_path / f"a.{ending}", values)), grey) <= 1

    @pytest.mark.parametrize("bits", [10, 12, 14, 16])
    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_colours_keep_their_lower_bits(self, tmp_path, colours, bits, ending):
        values = np.round(colours * (2**bits - 1)).astype(np.uint16)
        assert off(read_image(written(tmp_path / f"a.{ending}", values)), colours) <= 1

    def test_all_of_16_bits_stay_as_they_are(self, tmp_path):
        values = np.linspace(0, 65535, 64 * 96).astype(np.uint16).reshape(64, 96)
        expected = (values.astype(int) * 255 + 32767) // 65535
        read = read_image(written(tmp_path / "a.png", values))
        assert (read == expected[..., None]).all()
        colour = np.dstack([values, values[::-1], values[:, ::-1]])
        read = read_image(written(tmp_path / "b.png", colour))
        assert (read == colour >> 8).all()

    def test_a_dark_room_with_a_lamp_keeps_its_16_bits(self, tmp_path, grey):
        values = np.round(grey * 4000).astype(np.uint16)
        values[:8, :8] = 65535  # 1 % of the picture is no outlier
        read = read_image(written(tmp_path / "a.png", values))
        expected = (values.astype(int) * 255 + 32767) // 65535
        assert (read == expected[..., None]).all()

    def test_hot_pixels_decide_nothing(self, tmp_path, grey):
        values = np.round(grey * 4095).astype(np.uint16)
        expected = read_image(written(tmp_path / "a.png", values))
        values[[3, 40], [5, 60]] = 65535
        read = read_image(written(tmp_path / "b.png", values))
        good = values < 65535
        assert (read[good] == expected[good]).all() and (read[~good] == 255).all()

    def test_a_thermal_picture_is_stretched(self, tmp_path, grey):
        values = np.round(29_000 + 1_500 * grey).astype(np.uint16)
        values[2, 3], values[9, 9] = 0, 65535
        read = read_image(written(tmp_path / "a.tif", values))
        good = (values > 0) & (values < 65535)
        assert np.abs(read[good][:, 0] - 255 * grey[good]).max() < 3
        assert read.min() == 0 and read.max() == 255

    def test_32_bit_whole_numbers(self, tmp_path, grey):
        values = np.round(1e6 + 1e5 * grey).astype(np.int32)
        assert off(read_image(written(tmp_path / "a.tif", values)), grey) < 3
        values = np.round(-500 + 3000 * grey).astype(np.int32)
        assert off(read_image(written(tmp_path / "b.tif", values)), grey) < 3

    @pytest.mark.parametrize("value", [0, 7, 4095, 65535])
    def test_one_value_is_a_picture(self, tmp_path, value):
        values = np.full((32, 32), value, np.uint16)
        read = read_image(written(tmp_path / "a.png", values))
        assert len(np.unique(read)) == 1 and (read[0, 0, 0] > 0) == (value > 0)

    @pytest.mark.parametrize("ending", ["png", "tif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_dark_colours_are_turned_like_others(self, tmp_path, colours, ending, orientation):
        values = np.round(colours * 4095).astype(np.uint16)
        path = written(tmp_path / "a.png", values)
        bright, data = read_image(path), path.read_bytes()
        if ending == "png":
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            body = exif.tobytes().removeprefix(b"Exif\0\0")
            path.write_bytes(data[:33] + png_chunk(b"eXIf", body) + data[33:])
        else:
            path = tmp_path / "a.tif"
            path.write_bytes(tiff_of(values, orientation))
        expected = {
            1: bright, 2: bright[:, ::-1], 3: bright[::-1, ::-1], 4: bright[::-1],
            5: bright.transpose(1, 0, 2), 6: np.rot90(bright, -1),
            7: bright.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(bright, 1),
        }[orientation]  # fmt: skip
        np.testing.assert_array_equal(read_image(path), expected)

    def test_dark_colours_keep_their_transparency(self, tmp_path, colours):
        opacity = np.where(np.arange(96) < 50, 65535, 0) * np.ones((64, 1))
        values = np.dstack([np.round(colours * 4095), opacity]).astype(np.uint16)
        read = read_picture(written(tmp_path / "a.png", values))
        assert (read.inside == (opacity > 0)).all()
        assert off(read.pixels[:, :50], colours[:, :50]) <= 1


class TestFloats:
    @pytest.mark.parametrize("white", [1, 255, 4095, 65535])
    def test_usual_ranges(self, tmp_path, grey, white):
        values = (grey * white).astype(np.float32)
        assert off(read_image(written(tmp_path / "a.tif", values)), grey) <= 1

    @pytest.mark.parametrize(("low", "high"), [(-3.0, 8.0), (0.0, 1e-3), (290.0, 310.0), (0, 1e9)])
    def test_other_ranges_are_stretched(self, tmp_path, grey, low, high):
        values = (low + (high - low) * grey).astype(np.float32)
        assert off(read_image(written(tmp_path / "a.tif", values)), grey) < 3

    def test_what_is_no_number_shows_nothing(self, tmp_path, grey):
        values = grey.astype(np.float32)
        values[:10] = np.nan
        values[10, :5] = np.inf
        read = read_picture(written(tmp_path / "a.tif", values))
        assert (read.inside == np.isfinite(values)).all()
        assert off(read.pixels[11:], grey[11:]) <= 1
        assert (read.pixels[:10] == 0).all()
        nothing = np.full((32, 32), np.nan, np.float32)
        with raises("image.no_numbers", file=tmp_path / "b.tif"):
            read_image(written(tmp_path / "b.tif", nothing))

    def test_kinds_that_are_not_read_are_named(self, tmp_path, grey):
        path = tmp_path / "a.tif"
        assert cv2.imwrite(str(path), grey.astype(np.float64))
        with raises("image.tiff", file=path):
            read_image(path)


def test_a_range_is_kept_in_order_and_clips():
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan, np.inf, -np.inf])
    assert Range(0, 1)(values).tolist() == [0, 0, 128, 255, 255, 0, 255, 0]
    assert Range(100, 300)(np.array([0, 100, 200, 300, 65535], np.uint16)).tolist() == [
        0, 0, 128, 255, 255,
    ]  # fmt: skip
    assert range_of(np.arange(65536, dtype=np.uint16)) == Range(0, 65535)
    assert range_of(np.arange(4096, dtype=np.uint16)) == Range(0, 4095)
