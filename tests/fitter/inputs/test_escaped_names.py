"""Names that are not UTF-8: text in the store, and the file on disk again, all the way through."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.escaped_names import escaped, path_of, unescaped
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.listing import ImageSource
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.stored_images import read_stored_image
from fitter.report import write_report
from fitter.store.schema import IMAGE_STATUS
from tests.support import bad_files
from tests.support.bad_commands import ALONE
from tests.support.errors import raises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a file system of bytes")

RAW = os.fsdecode(b"s\xe9ance/h\xff\xc3\xa4nd.jpg")
STORED = r"s\xe9ance/h\xffänd.jpg"


class TestEscape:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (RAW, STORED),
            ("a/händ 手 1.jpg", "a/händ 手 1.jpg"),
            (r"a\b.jpg", r"a\b.jpg"),
            (r"a\x.jpg", r"a\x.jpg"),
            (r"a\x41.jpg", r"a\x41.jpg"),
            (r"a\xFF.jpg", r"a\xFF.jpg"),
            (r"a\xff.jpg", r"a\x5cxff.jpg"),
            (r"a\x5cxff.jpg", r"a\x5cx5cxff.jpg"),
        ],
    )
    def test_each_name_has_one_text(self, name, expected):
        assert escaped(name) == expected
        assert unescaped(expected) == name

    def test_every_short_name_comes_back_and_none_is_shared(self):
        parts = (b"\\", b"x", b"5c", b"ff", b"\xff", b"\x80", b"a", "ä".encode())
        names = [
            os.fsdecode(b"".join(chosen))
            for length in range(1, 6)
            for chosen in itertools.product(parts, repeat=length)
        ]
        names = list(dict.fromkeys(names))
        texts = [escaped(name) for name in names]
        assert [unescaped(text) for text in texts] == names
        assert len(set(texts)) == len(names)
        for text in texts:
            text.encode()  # every one can be stored


def test_a_sentence_about_such_a_file_can_be_printed(tmp_path):
    error = InputError("image.empty", file=tmp_path / os.fsdecode(b"\xff\xc3\xa4.jpg"))
    expected = f"{tmp_path}/\\xffä.jpg: expected a picture, found an empty file"
    assert str(error).encode().decode() == expected
    str(InputError("list.nothing_there", file="\ud800.jpg")).encode()


class TestWhatIsGivenBeside:
    @pytest.fixture
    def folder(self, tmp_path):
        path = tmp_path / "pictures" / RAW
        path.parent.mkdir(parents=True)
        Image.new("RGB", (48, 32), (9, 99, 9)).save(path, "JPEG")
        return tmp_path

    def test_a_list_names_it_by_its_bytes(self, folder):
        (folder / "pictures" / "all.txt").write_bytes(os.fsencode(RAW) + b"\n")
        source = ImageSource.of([str(folder / "pictures" / "all.txt")])
        assert list(source.names()) == [STORED]
        assert path_of(source.root, STORED).is_file()

    def test_masks_and_openposes_files(self, folder):
        mask = folder / "masks" / RAW.replace(".jpg", ".png")
        mask.parent.mkdir(parents=True)
        Image.new("L", (48, 32), 255).save(mask)
        entry = ImageEntry(STORED, path_of(folder / "pictures", STORED))
        masks = MaskFolder.open(folder / "masks")
        masks.require_for([entry])
        assert masks.mask_for(entry, (48, 32)).all()
        assert masks.part([STORED]).path_of(STORED) == mask
        openpose = folder / "openpose" / RAW.replace(".jpg", "_keypoints.json")
        openpose.parent.mkdir(parents=True)
        points = [v for k in range(21) for v in (10 + k, 9 + k / 2, 0.9)]
        person = {"hand_right_keypoints_2d": points, "hand_left_keypoints_2d": [0.0] * 63}
        openpose.write_text(json.dumps({"people": [person]}))
        (hand,) = KeypointFiles.open(folder / "openpose").hands_for(entry, 0)
        assert hand.side == "right" and tuple(hand.keypoints[20]) == (30.0, 19.0)

    def test_a_stored_name_leads_out_of_no_folder(self, folder):
        assert read_stored_image(folder / "pictures", STORED).shape == (32, 48, 3)
        with raises("image.outside"):
            read_stored_image(folder / "pictures", "../pictures/" + STORED)


def _run(name, *arguments, cwd):
    command = shutil.which(name, path=sysconfig.get_path("scripts"))
    told = subprocess.run(
        [command, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told


def test_from_the_listing_to_the_report(tmp_path):
    """Fitted, continued, drawn, exported and shown like any other."""
    photos, out = tmp_path / "photos", "r.zarr"
    for name in ("a.jpg", RAW):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
    (photos / RAW).write_bytes(bad_files.HAND.read_bytes())
    y, x = np.divmod(np.arange(21), 5)
    points = np.stack([250 + 30.0 * x + 5 * y, 350 - 40.0 * y], axis=1).tolist()
    late = r"s\xe9ance/\x5cxff.jpg"
    given = {name: [{"side": "right", "keypoints": points}] for name in (STORED, late)}
    (tmp_path / "known.json").write_text(json.dumps(given))
    fit = ("photos", "--out", out, "--device", "cpu", "--keypoints", "known.json", *ALONE)
    fit = (*fit, "--overlays", "drawn")
    _run("fit-hands", *fit, cwd=tmp_path)
    (photos / unescaped(late)).write_bytes(bad_files.HAND.read_bytes())
    told = _run("fit-hands", *fit, "--resume", cwd=tmp_path)
    results = xr.open_zarr(tmp_path / out).load()
    assert sorted(results.image_name.values) == sorted([STORED, late]), told.stderr
    assert (results.image_status.values == IMAGE_STATUS.index("ok")).all()
    assert results.valid.values[:, 0].all()
    drawn = tmp_path / "drawn"
    assert all((drawn / f"{name}.jpg").is_file() for name in (STORED, late))
    _run("export-hands", out, "--format", "csv", "--out", "all.csv", cwd=tmp_path)
    table = (tmp_path / "all.csv").read_text(encoding="utf-8")
    assert STORED in table and late in table
    _run("export-hands", out, "--format", "ply", "--out", "meshes", cwd=tmp_path)
    assert len(list((tmp_path / "meshes").rglob("*.ply"))) == 2
    summary = write_report(tmp_path / out, tmp_path / "report.html", images=photos)
    assert summary.photographs.read == summary.fitted == 2
