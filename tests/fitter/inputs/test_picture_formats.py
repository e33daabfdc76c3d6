"""HEIC, AVIF and JPEGs without an end: read as what they are, or refused in a sentence."""

import contextlib
import io
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import ExifTags, Image, features
from pillow_heif import register_heif_opener

from fitter.inputs.elsewhere import source_elsewhere
from fitter.inputs.image_content import ImageBytes
from fitter.inputs.image_files import FilePart, LocalFile
from fitter.inputs.images import read_image, read_picture, read_size
from fitter.inputs.jpeg_end import with_its_end
from fitter.inputs.listing import ImageSource
from fitter.inputs.picture_formats import formats_of
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.shard_files import write_shard

register_heif_opener()

KINDS = {"heic": "HEIF", "heif": "HEIF", "avif": "AVIF"}
BEST = {"HEIF": {"quality": -1, "chroma": 444}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}


@pytest.fixture(scope="module")
def picture():
    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        return np.asarray(image.convert("RGB").resize((96, 64)))


def exif_of(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.FocalLengthIn35mmFilm: 26,
            ExifTags.Base.ExifImageWidth: 96,
            ExifTags.Base.ExifImageHeight: 64,
        }
    )
    return exif.tobytes()  # with an `Exif` pillow-heif would write how it is turned in EXIF alone


def saved(path, pixels, **options):
    kind = KINDS[path.suffix[1:]]
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, kind, **BEST[kind], **options)
    return path


def encoded(pixels, kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


class TestPhones:
    @pytest.mark.parametrize("ending", KINDS)
    @pytest.mark.parametrize("orientation", [1, 3, 6, 8, 2, 5])
    def test_a_turned_picture_is_turned_once(self, tmp_path, picture, ending, orientation):
        stored = {
            1: picture,
            2: picture[:, ::-1],
            3: picture[::-1, ::-1],
            5: picture.transpose(1, 0, 2),
            6: np.rot90(picture, 1),
            8: np.rot90(picture, -1),
        }[orientation]
        path = saved(tmp_path / f"a.{ending}", stored, exif=exif_of(orientation))
        read = read_picture(path)
        assert np.abs(read.pixels.astype(int) - picture).mean() < 2
        assert read_size(path) == (96, 64) and read.inside is None
        assert read.exif.focal_35mm == 26

    @pytest.mark.parametrize("ending", KINDS)
    def test_the_exif_size_is_that_of_the_sensor(self, tmp_path, picture, ending):
        """As a phone held upright writes it: 96 x 64 on the sensor, turned by a quarter."""
        path = saved(tmp_path / f"a.{ending}", picture, exif=exif_of(6))
        read = read_picture(path)
        assert read.pixels.shape == (96, 64, 3)
        assert read.exif.pixel_size == (96, 64) and read.exif.swaps_axes

    def test_an_exif_block_does_not_turn_a_heif_that_is_upright(self, tmp_path, picture):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        exif.get_ifd(ExifTags.IFD.Exif).update(
            {ExifTags.Base.ExifImageWidth: 96, ExifTags.Base.ExifImageHeight: 64}
        )
        path = tmp_path / "a.heic"
        Image.fromarray(picture).save(path, exif=exif)
        read = read_picture(path)
        assert b"irot" not in path.read_bytes() and read.pixels.shape == picture.shape
        assert not read.exif.swaps_axes and read_size(path) == (96, 64)

    @pytest.mark.parametrize("ending", KINDS)
    def test_transparent_pixels_are_nobodys(self, tmp_path, picture, ending):
        opacity = np.zeros((64, 96), np.uint8)
        opacity[:, 40:] = 255
        path = saved(tmp_path / f"a.{ending}", np.dstack([picture, opacity]))
        read = read_picture(path)
        wrong = read.inside != (opacity > 127)
        assert wrong.mean() < 0.01

    @pytest.mark.parametrize("ending", KINDS)
    def test_wherever_pictures_are_they_are_taken(self, tmp_path, picture, ending):
        folder = tmp_path / "pictures"
        folder.mkdir()
        path = saved(folder / f"a.{ending}", picture)
        saved(folder / f"b.{ending}", picture).rename(folder / f"b.{ending.upper()}")
        names = [f"a.{ending}", f"b.{ending.upper()}"]
        assert list(ImageSource.of([str(folder)]).names()) == names
        path.with_suffix(".jpg").write_bytes(path.read_bytes())  # the content decides
        expected = read_image(path)
        for content in (path.with_suffix(".jpg"), ImageBytes("a", path.read_bytes())):
            np.testing.assert_array_equal(read_image(content), expected)
        np.testing.assert_array_equal(LocalFile(path).picture().pixels, expected)
        np.testing.assert_array_equal(FilePart(f"file://{path}", "a").picture().pixels, expected)
        shard = write_shard(tmp_path / "s.tar", {f"k/{path.name}": path.read_bytes()})
        source = source_elsewhere([str(shard)], None)
        assert list(source.names()) == [f"s.tar/k/{path.name}"]
        part = source.files.file_of(f"s.tar/k/{path.name}")
        np.testing.assert_array_equal(part.picture().pixels, expected)

    def test_what_is_missing_is_named_with_its_command(self, tmp_path, picture, monkeypatch):
        heic = saved(tmp_path / "a.heic", picture)
        avif = saved(tmp_path / "a.avif", picture)
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        monkeypatch.setattr(features, "check", lambda _: False)
        with raises("image.no_heif", file=heic) as caught:
            read_image(heic)
        assert "pip install 'fit-hands[heif]'" in str(caught.value)
        with raises("image.no_avif", file=avif) as caught:
            read_image(avif)
        assert "pip install --upgrade pillow" in str(caught.value)

    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "JPEG"),  # a video, which no decoder is shown
            (b"\0\0\0\x10ftypisom\0\0\0\0heic", "JPEG"),  # behind the box
            (b"\xff\xd8\xff\xe0", "JPEG"),
            (b"", "JPEG"),
        ],
    )
    def test_the_first_bytes_choose_the_decoder(self, head, expected):
        assert expected in formats_of(head, "a")


class TestJpegWithoutItsEnd:
    @pytest.fixture(scope="class")
    def variants(self, picture):
        small = picture[:50, :75]
        grey = np.asarray(Image.fromarray(small).convert("L"))
        whole = {
            "baseline": encoded(small, quality=90),
            "full": encoded(small, quality=95, subsampling=0),
            "halved": encoded(small, subsampling=1),
            "restarts": encoded(small, restart_marker_rows=1, subsampling=2),
            "progressive": encoded(small, progressive=True, quality=95),
            "progressive_restarts": encoded(small, progressive=True, restart_marker_blocks=3),
            "grey": encoded(grey),
            "progressive_grey": encoded(grey, progressive=True),
        }
        cmyk = Image.fromarray(small).convert("CMYK")
        file = io.BytesIO()
        cmyk.save(file, "JPEG")
        whole["cmyk"] = file.getvalue()
        noise = np.random.default_rng(0).normal(0, 12, (120, 160, 3))
        noisy = (np.asarray(Image.fromarray(picture).resize((160, 120))) + noise).clip(0, 255)
        for quality in (90, 98, 100):
            for sampling in (0, 2):
                options = {"quality": quality, "subsampling": sampling}
                whole[f"noisy_{quality}_{sampling}"] = encoded(noisy.astype(np.uint8), **options)
        return whole

    def test_all_pixels_are_those_of_the_whole_file(self, variants):
        for name, content in variants.items():
            whole = read_image(ImageBytes("a", content))
            for missing in (1, 2):
                read = read_image(ImageBytes("a", content[:-missing]))
                np.testing.assert_array_equal(read, whole, err_msg=name)

    def test_one_byte_less_is_a_picture_that_was_cut_off(self, variants):
        """Every one of the last bytes, a single one of which has the last block's last bits."""
        for name, content in variants.items():
            for missing in (*range(3, 12), len(content) // 3, len(content) // 2):
                cut = ImageBytes("a", content[:-missing])
                assert with_its_end(cut) is None, (name, missing)
            with raises("image.damaged", file="a"):
                read_image(ImageBytes("a", content[:-3]))

    def test_what_fills_the_place_of_a_lost_end_is_no_end(self, variants):
        """Files whose room was taken before they were written, and such as were put together from
        what was left on a disk: zeros and other data decode as blocks, too."""
        taken = []
        for name, content in variants.items():
            data, scan = content[:-2], content.find(b"\xff\xda")
            for percent in (1, 2, 5, 10, 20, 30, 50, 70):
                kept = data[: len(data) * (100 - percent) // 100]
                lost = len(data) - len(kept)
                for more in (0, 1, 2, 512):
                    for by in (bytes(lost + more), b"\xff\x00" * ((lost + more + 1) // 2)):
                        filled = ImageBytes("a", kept + by)
                        assert with_its_end(filled) is None, (name, percent, by[:1], more)
                    for block in (kept[-lost:], data[scan:][:lost]):
                        filled = ImageBytes("a", kept + (block * 99)[: lost + more])
                        taken.append(with_its_end(filled) is not None)
        # Codes of other pixels end with a block and where they should by chance, if seldom.
        assert len(taken) > 900 and np.mean(taken) < 0.01

    def test_a_lower_part_that_pillow_fills_up_is_missing(self, variants):
        """Behind what is left are zeros, or the marker of an end that is none."""
        filled = 0
        for name, content in variants.items():
            for percent in (30, 50, 80, 95, 99):
                kept = content[: len(content) * percent // 100]
                cut = [kept.ljust(len(content), b"\0"), kept.ljust(3 * len(content), b"\0")]
                # Of progressive ones less detail is there everywhere, of 99 % all but a block.
                if not name.startswith("progressive") and percent < 99:
                    cut.append(kept.removesuffix(b"\xff") + b"\xff\xd9")
                for data in cut:
                    with contextlib.suppress(OSError), Image.open(io.BytesIO(data)) as image:
                        image.load()
                        filled += 1
                    with raises("image.damaged", file="a"):
                        read_image(ImageBytes("a", data))
        assert filled > 100

    def test_a_whole_picture_is_read_whatever_stands_behind_and_within_it(self, variants):
        grey = encoded(np.full((48, 64, 3), 128, np.uint8))
        for content in (*variants.values(), grey):
            thumbnail = b"\xff\xe1" + struct.pack(">H", len(grey) + 2) + grey
            whole = read_image(ImageBytes("a", content))
            for more in (b"", bytes(500), grey, b"\xff", b"\xff\xda\x00"):
                read = read_image(ImageBytes("a", content[:2] + thumbnail + content[2:] + more))
                np.testing.assert_array_equal(read, whole)

    def test_restarts_that_are_missing_or_not_in_order_are_found(self, variants):
        content = variants["progressive_restarts"][:-2]
        scan = content.find(b"\xff\xda")
        first, third = (content.find(bytes([0xFF, 0xD0 + i]), scan) for i in (0, 2))
        assert scan < first < third
        assert with_its_end(ImageBytes("a", content[:first] + content[third:])) is None
        again = content[:third] + b"\xff\xd1" + content[third + 2 :]
        assert with_its_end(ImageBytes("a", again)) is None
        assert with_its_end(ImageBytes("a", content)) is not None

    @pytest.mark.parametrize(
        ("count", "keeps_its_own"), [(4, True), (255, True), (255, False), (3, False)]
    )
    def test_a_header_that_lies_takes_no_memory(self, variants, count, keeps_its_own):
        """Before the frame's own header stands one of a picture of terabytes, or in its place."""
        content = variants["baseline"]
        at = content.find(b"\xff\xc0")
        behind = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        body = struct.pack(">BHHB", 8, 65500, 65500, count)
        body += b"".join(bytes([k + 1, 0x11, 0]) for k in range(count))
        frame = b"\xff\xc0" + struct.pack(">H", len(body) + 2) + body
        lying = ImageBytes(
            "a", content[:at] + frame + content[at if keeps_its_own else behind : -2]
        )
        tracemalloc.start()
        try:
            assert with_its_end(lying) is None
            if keeps_its_own and count == 4:  # more are no picture for Pillow
                with raises("image.damaged", file="a"):
                    read_image(lying)
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()

    def test_a_progressive_file_without_its_last_scans_is_cut_off(self, variants):
        """Each of its scans is whole, and all pixels show something: they want detail."""
        content = variants["progressive"]
        scans = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
        tables = [content.rfind(b"\xff\xc4", 0, at) for at in scans]
        assert len(scans) > 5
        for at in tables[1:]:
            with raises("image.damaged"):
                read_image(ImageBytes("a", content[:at]))

    def test_a_header_without_data_and_other_files_are_none(self, variants):
        content = variants["baseline"]
        scan = content.find(b"\xff\xda")
        for cut in (
            content[:scan],
            content[: scan + 5],
            content[: scan + 14],
            b"\xff\xd8",
            b"II*\0",
        ):
            assert with_its_end(ImageBytes("a", cut)) is None
        arithmetic = content[:-2].replace(b"\xff\xc0", b"\xff\xc9")
        assert with_its_end(ImageBytes("a", arithmetic)) is None

    def test_the_kernel_says_what_its_readable_twin_says(self, variants, monkeypatch):
        """The same functions, not compiled."""
        import fitter.inputs.jpeg_scan as scan

        for name in ("_bits", "_symbol", "_dc", "_ac_first", "_ac_refined", "walk"):
            monkeypatch.setattr(scan, name, getattr(scan, name).py_func)
        for name in ("progressive_restarts", "restarts", "grey"):
            content = variants[name]
            assert with_its_end(ImageBytes("a", content[:-2])) is not None, name
            assert with_its_end(ImageBytes("a", content[:-3])) is None, name

    def test_a_file_on_disk_with_its_exif(self, tmp_path, picture):
        path = tmp_path / "a.jpg"
        Image.fromarray(picture).save(path, exif=exif_of(6))
        whole = read_picture(path)
        path.write_bytes(path.read_bytes()[:-2])
        read = read_picture(path)
        np.testing.assert_array_equal(read.pixels, whole.pixels)
        assert read.exif == whole.exif and read_size(path) == (64, 96)
