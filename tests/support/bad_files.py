"""Makes the files that go wrong, next to pictures that do not."""

import json
import os
import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import xarray as xr
from PIL import Image

from fitter.store.schema import IMAGE_STATUS
from tests.support import mano_files
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
HAND = EXAMPLES / "open_palm.jpg"
LINE_BREAK = "line\nbreak \x1b[31m.jpg"
UNICODE = "sub dir/Grüße an 手 1.jpg"


def good_pictures(folder: Path) -> None:
    """Pictures in every form that must give the hand of `original.jpg` (640 x 480)."""
    original = Image.open(HAND).convert("RGB")
    pixels = np.asarray(original)
    (folder / "original.jpg").write_bytes(HAND.read_bytes())
    (folder / UNICODE).parent.mkdir()
    (folder / UNICODE).write_bytes(HAND.read_bytes())
    cv2.imwrite(str(folder / "rgb16.png"), pixels[..., ::-1].astype(np.uint16) * 257)
    grey = np.asarray(original.convert("L"))
    cv2.imwrite(str(folder / "grey16.png"), grey.astype(np.uint16) * 257)
    Image.fromarray(grey).save(folder / "grey.jpg", quality=95)
    original.convert("RGBA").save(folder / "rgba.png")
    original.convert("CMYK").save(folder / "cmyk.tif")
    original.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = original.transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.jpg", quality=95, exif=exif)
    huge = original.resize((12000, 9000), Image.Resampling.BILINEAR)
    huge.save(folder / "huge.jpg", quality=80)


def bad_pictures(folder: Path) -> dict[str, str]:
    """Pictures that cannot be read; name -> the sentence that says why."""
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("these are words\n")
    (folder / LINE_BREAK).write_text("these are words\n")
    (folder / "truncated.jpg").write_bytes(HAND.read_bytes()[:20_000])
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")
    (folder / "gigantic.png").write_bytes(_png_header(16_000, 10_000))
    (folder / "hollow.png").write_bytes(_png_header(8000, 8000))
    (folder / "bomb.png").write_bytes(_png_header(40_000, 30_000))
    (folder / "locked.jpg").write_bytes(HAND.read_bytes())
    (folder / "locked.jpg").chmod(0)
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    words = "expected a picture, found a file in no known picture format"
    return {
        "empty.jpg": "expected a picture, found an empty file",
        "text.jpg": words,
        LINE_BREAK: words,
        "truncated.jpg": "expected a whole picture, found a damaged or cut-off file "
        "(image file is truncated (N bytes not processed))",
        "tiny.png": "expected a picture of at least 16 pixels a side, found 1 x 1",
        "gigantic.png": "expected at most 150,000,000 pixels, found 16000 x 10000 = 160,000,000",
        "hollow.png": "expected a whole picture, found 65 bytes, "
        "too few for the 8000 x 8000 pixels that they claim",
        "bomb.png": "expected at most 150,000,000 pixels, found a larger picture",
        "locked.jpg": "expected a picture that may be read, found no permission to read it",
        "dangling.jpg": "expected a picture, found no such file",
        "pipe.jpg": "expected a picture, found no regular file",
    }


def no_hand(path: Path) -> None:
    """A picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def _png_header(width: int, height: int) -> bytes:
    """A PNG of some size without the pixels."""
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body
        content += struct.pack(">I", zlib.crc32(kind + body))
    return content


class _Command:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def mano_faults(folder: Path) -> None:
    """A MANO file in four kinds of ruin."""
    whole = mano_files.write_published(folder / "whole_RIGHT.pkl", mano_files.fabricate())
    content = whole.read_bytes()
    whole.unlink()
    (folder / "cut_RIGHT.pkl").write_bytes(content[:100_000])
    (folder / "web_RIGHT.pkl").write_text("<!DOCTYPE html><html>please log in</html>")
    (folder / "command_RIGHT.pkl").write_bytes(pickle.dumps(_Command()))


def known_hands(name: str = HAND.name) -> list[dict]:
    """The true hands of an example, as `--keypoints` takes them."""
    truth = json.loads((EXAMPLES / "ground_truth.json").read_text())["hands"]
    return [
        {"side": hand["side"], "keypoints": hand["keypoints_2d"]}
        for hand in truth
        if hand["image"] == name
    ]


def freihand(folder: Path) -> None:
    """One example in FreiHAND's layout."""
    truth = json.loads((EXAMPLES / "ground_truth.json").read_text())["hands"]
    joints = next(hand["keypoints_3d"] for hand in truth if hand["image"] == HAND.name)
    (folder / "evaluation" / "rgb").mkdir(parents=True)
    (folder / "evaluation" / "rgb" / "00000000.jpg").write_bytes(HAND.read_bytes())
    (folder / "evaluation_K.json").write_text("[[[620, 0, 320], [0, 620, 240], [0, 0, 1]]]")
    (folder / "evaluation_xyz.json").write_text(json.dumps([joints]))


def statuses(store: Path) -> dict[str, str]:
    """Image name -> its status, of a result store."""
    results = xr.open_zarr(store)
    codes = results.image_status.values
    return dict(zip(results.image_name.values, (IMAGE_STATUS[code] for code in codes), strict=True))
