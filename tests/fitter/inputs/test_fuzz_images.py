"""Damaged pictures: read or refused in a sentence, in bounded time and memory.

`python tests/test_fuzz_pictures.py SEED COUNT` reads some and prints a line of JSON for each; the
tests run it as a process of its own, which a decoder may crash and whose memory is measured.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fitter.inputs.pixels
from fitter.errors import InputError
from fitter.inputs.images import DEFAULT_LIMITS, ReadLimits, read_image, read_image_and_exif
from tests.support import picture_fuzz, picture_variants
from tests.support.errors import raises
from tests.support.paths import ROOT

PROC = Path("/proc/self/clear_refs")
MIB = 2**20
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="needs Linux's /proc")


def example() -> np.ndarray:
    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        return np.asarray(image.convert("RGB").resize((128, 96)))


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])


def survey(seed: int, count: int) -> None:
    """Read damaged pictures; print name, outcome, sentence or size, seconds and bytes at most."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in picture_fuzz.damaged_images(seed, count, example()):
            path = Path(folder, name)
            path.write_bytes(content)
            PROC.write_text("5")  # the peak begins anew
            before, start = peak_bytes(), time.process_time()
            try:
                pixels, _ = read_image_and_exif(path)
                assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,)
                assert pixels.flags.c_contiguous and pixels.flags.writeable
                outcome, detail = "read", pixels.shape[:2]
                del pixels
            except InputError as error:
                outcome, detail = "refused", error.without("file")
            seconds = time.process_time() - start
            print(json.dumps([name, outcome, detail, seconds, peak_bytes() - before]), flush=True)
            path.unlink()


@pytest.fixture(scope="module")
def surveyed() -> tuple[list, str]:
    command = [sys.executable, Path(__file__), "0", "600"]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", "PATH": ""}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout.rsplit("\n", 2)[1:] + [told.stderr]
    return [json.loads(line) for line in told.stdout.splitlines()], told.stderr


@needs_proc
class TestSurvey:
    def test_every_picture_is_read_or_refused_in_one_sentence(self, surveyed):
        rows, _ = surveyed
        assert len(rows) == 600
        for name, outcome, detail, *_ in rows:
            if outcome == "refused":
                assert re.fullmatch(r"expected [^\n]+, found [^\n]+", detail), (name, detail)
        outcomes = Counter(outcome for _, outcome, *_ in rows)
        assert min(outcomes.values()) > 150, outcomes

    def test_what_is_only_renamed_is_read(self, surveyed):
        renamed = [row for row in surveyed[0] if "_renamed." in row[0]]
        assert renamed and {row[1] for row in renamed} == {"read"}

    def test_nothing_else_is_printed(self, surveyed):
        assert surveyed[1] == ""

    def test_memory_is_bounded_by_the_pixels(self, surveyed):
        for name, outcome, detail, _, peak in surveyed[0]:
            bytes_a_pixel = 16 if re.search("webp|heic|avif", name) else 12 if "jp" in name else 8
            limit = DEFAULT_LIMITS.max_pixels if outcome == "refused" else np.prod(detail)
            assert peak < bytes_a_pixel * limit + 96 * MIB, (name, outcome, detail, peak)

    def test_what_is_refused_takes_no_memory(self, surveyed):
        peaks = [(row[4], row[0]) for row in surveyed[0] if row[1] == "refused"]
        assert max(peaks) < (600 * MIB, "")


def test_the_same_seed_ruins_the_same_way():
    first, again = (list(picture_fuzz.damaged_images(5, 40, example())) for _ in range(2))
    other = list(picture_fuzz.damaged_images(6, 40, example()))
    assert first == again and first != other
    assert len({name for name, _ in first}) == 40


@pytest.mark.parametrize("name", sorted(picture_variants.originals(example())))
def test_whole_pictures_look_alike_in_every_variant(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(picture_variants.originals(example())[name])
    pixels, expected = read_image(path), example()
    if pixels.shape != expected.shape:  # turned by its EXIF block
        expected = np.rot90(expected, -1)
    found = np.corrcoef(_tiles(pixels).ravel(), _tiles(expected).ravel())[0, 1]
    assert found > 0.9


def _tiles(pixels: np.ndarray) -> np.ndarray:
    """Mean brightness of tiles of 16 x 16, in which the dots of black and white pictures vanish."""
    height, width = pixels.shape[:2]
    return pixels.mean(axis=2).reshape(height // 16, 16, width // 16, 16).mean(axis=(1, 3))


def _saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("white.png", "1", {"optimize": True}),
        ("white.png", "RGB", {"optimize": True}),
        ("white.webp", "RGB", {"lossless": True, "method": 0}),
        ("white.webp", "RGB", {"quality": 1}),
        ("white.jpg", "L", {"optimize": True, "progressive": True}),
        ("white.jpg", "RGB", {"optimize": True, "subsampling": 2}),
        ("white.bmp", "1", {}),
        ("white.tif", "1", {"compression": "group4"}),
        ("white.tif", "L", {"compression": "tiff_lzw"}),
        ("white.tif", "RGB", {"compression": "zstd"}),
    ],
)
def test_a_picture_of_one_colour_is_no_lie(tmp_path, name, mode, options):
    """Nothing packs better, so what is refused for its claim must be far beyond these."""
    image = Image.new(mode, (3000, 2000), "white")
    assert read_image(_saved(tmp_path, name, image, **options)).min() > 250


@pytest.mark.parametrize("variant", ["baseline.jpg", "grey.jpg", "bits1.png", "still.gif.png"])
def test_a_header_that_claims_far_too_much_is_refused_at_once(tmp_path, variant):
    content = bytearray(picture_variants.originals(example())[variant])
    if variant.endswith("jpg"):
        at = content.find(b"\xff\xc0")
        content[at + 5 : at + 9] = b"\x2e\xe0\x2e\xe0"  # 12,000 x 12,000
    elif variant.endswith("gif.png"):
        content[6:10] = b"\xe0\x2e\xe0\x2e"
        content = content[:2000]
    else:
        header = b"\0\0\x2e\xe0\0\0\x2e\xe0\1\0\0\0\0"
        content[8:33] = picture_variants.png_chunk(b"IHDR", header)
    path = tmp_path / variant
    path.write_bytes(content)
    with raises("image.too_few_bytes", length=len(content), width=12000, height=12000):
        read_image(path)


def test_a_tiff_whose_strips_leave_rows_out_is_refused(tmp_path):
    """Pillow would leave them black."""
    content = bytearray(picture_variants.originals(example())["cmyk.tif"])
    at = content.find(b"\1\1\4\0\1\0\0\0\x60\0")  # height, LONG, one value, 96
    at = at if at >= 0 else content.find(b"\1\1\3\0\1\0\0\0\x60\0")
    content[at + 8 : at + 10] = b"\x80\0"
    path = tmp_path / "short.tif"
    path.write_bytes(content)
    with raises("image.missing_pixels", found=12288, width=128, height=128):
        read_image(path)


@pytest.mark.parametrize("variant", ["animated.webp", "animated.gif.jpg"])
def test_a_canvas_far_larger_than_its_first_frame_is_refused(tmp_path, variant):
    """One bit makes it: a gigabyte of nothing; a somewhat larger canvas is one."""
    content = bytearray(picture_variants.originals(example())[variant])
    path = tmp_path / variant
    for side, is_read in ((1000, True), (6000, False)):
        if variant == "animated.webp":
            content[24:30] = (side - 1).to_bytes(3, "little") * 2
        else:
            content[6:10] = side.to_bytes(2, "little") * 2
        path.write_bytes(content)
        if is_read:
            assert read_image(path).shape == (side, side, 3)
            continue
        with raises("image.missing_pixels", width=side, height=side):
            read_image(path)


@pytest.mark.parametrize("fault", [MemoryError(), AssertionError(), AttributeError("a\nb")])
def test_whatever_a_decoder_raises_becomes_a_sentence(tmp_path, monkeypatch, fault):
    def fail(*_: object) -> None:
        raise fault

    path = _saved(tmp_path, "a.png", Image.new("RGB", (32, 32)))
    monkeypatch.setattr(fitter.inputs.pixels.Image.Image, "crop", fail)
    code = "image.memory" if isinstance(fault, MemoryError) else "image.damaged"
    reason = {MemoryError: None, AssertionError: "AssertionError"}.get(type(fault), "a b")
    with raises(code, file=path, reason=reason):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "I;16", "CMYK"])
def test_bands_join_without_a_seam(tmp_path, monkeypatch, mode):
    image = Image.fromarray(example())
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    path = _saved(tmp_path, "a.tif" if mode == "CMYK" else "a.png", image.convert(mode))
    whole = read_image(path)
    monkeypatch.setattr(fitter.inputs.pixels, "_BAND_PIXELS", 1000)
    np.testing.assert_array_equal(read_image(path), whole)


@needs_proc
@pytest.mark.parametrize(("mode", "name"), [("RGBA", "a.png"), ("P", "a.png"), ("RGB", "a.jpg")])
def test_a_large_picture_takes_eight_bytes_a_pixel(tmp_path, mode, name):
    image = Image.fromarray(example()).resize((4000, 3000)).convert(mode)
    options = {"transparency": 3} if mode == "P" else {}
    path = _saved(tmp_path, name, image, **options)
    program = (
        "import sys, pathlib, tests.fitter.inputs.test_fuzz_images as t\n"
        "t.PROC.write_text('5'); before = t.peak_bytes()\n"
        "t.read_image(pathlib.Path(sys.argv[1])); print(t.peak_bytes() - before)\n"
    )
    command = [sys.executable, "-c", program, path]
    told = subprocess.run(
        command,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) < 8 * 12_000_000 + 24 * MIB


def test_limits_still_come_first(tmp_path):
    path = _saved(tmp_path, "large.png", Image.new("1", (300, 200)))
    with raises("image.too_large", max_pixels=50_000, pixels=60_000):
        read_image(path, ReadLimits(max_pixels=50_000))


if __name__ == "__main__":
    survey(int(sys.argv[1]), int(sys.argv[2]))
