"""The intrinsics of pictures: from EXIF, from the user, or refused in a sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fitter.config.options import Config
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.exif_focal import focal_from_exif
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.sources import Sources
from fitter.workers.image_detector import detect_image
from tests.support.errors import raises


def save_with_exif(path, size, **tags):
    exif = Image.Exif()
    orientation = tags.pop("Orientation", None)
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[k]: v for k, v in tags.items()})
    Image.new("RGB", size).save(path, exif=exif)
    return ImageEntry(path.name, path)


def seen(entry):
    """What the first half of the pipeline makes of a picture whose hands are known to be none."""
    none = KeypointFiles(Path("none.json"), by_name={})
    sources = Sources(entry.path.parent, [entry.name], Intrinsics(), none)
    image = detect_image(sources.tasks(0, 1)[0], None, Config())
    assert not image.error
    return image


def test_focal_length_from_its_35_mm_equivalent(tmp_path):
    """A 36 x 24 mm frame at 36 mm: the focal length is the picture's width."""
    entry = save_with_exif(tmp_path / "a.jpg", (300, 200), FocalLengthIn35mmFilm=36)
    record = seen(entry)
    assert record.intrinsics_source == "exif"
    expected = [[300, 0, 150], [0, 300, 100], [0, 0, 1]]
    np.testing.assert_allclose(record.intrinsics, expected, rtol=1e-6)


@pytest.mark.parametrize("unit, density", [(2, 2540.0), (3, 1000.0)])
def test_focal_length_from_the_sensor_of_a_resized_turned_picture(tmp_path, unit, density):
    """4 mm at 100 pixels a mm is 400 pixels at 1200 x 800, so 100 at 300 x 200.

    The sensor is a tenth denser along y, which is x in the upright picture.
    """
    entry = save_with_exif(
        tmp_path / "a.jpg",
        (300, 200),
        Orientation=6,
        FocalLength=4.0,
        FocalPlaneXResolution=density,
        FocalPlaneYResolution=1.1 * density,
        FocalPlaneResolutionUnit=unit,
        ExifImageWidth=1200,
        ExifImageHeight=800,
    )
    record = seen(entry)
    assert record.size == (200, 300)
    expected = [[110, 0, 100], [0, 100, 150], [0, 0, 1]]
    np.testing.assert_allclose(record.intrinsics, expected, rtol=1e-6)


def test_a_cropped_picture_has_no_known_focal_length():
    exif = CameraExif(focal_35mm=26.0, pixel_size=(4000, 3000))
    assert focal_from_exif(exif, (1000, 1000)) is None
    assert focal_from_exif(exif, (1000, 750)) is not None


def test_default_field_of_view_spans_the_longer_side(tmp_path):
    Image.new("RGB", (40, 60)).save(tmp_path / "a.png")
    record = seen(ImageEntry("a.png", tmp_path / "a.png"))
    assert record.intrinsics_source == "default"
    assert record.intrinsics[:2, 2].tolist() == [20, 30]
    focal = record.intrinsics[1, 1]
    assert math.degrees(2 * math.atan(30 / focal)) == pytest.approx(60)


MATRIX = [[500.0, 0.0, 32.0], [0.0, 510.0, 24.0], [0.0, 0.0, 1.0]]
ENTRY = ImageEntry("a.png", Path("a.png"))


def given(option):
    intrinsics = Intrinsics.from_option(option)
    intrinsics.require_for([ENTRY.name], 1)
    return intrinsics.intrinsics_for(ENTRY, 0, (64, 48), CameraExif())


def write_json(tmp_path, content):
    path = tmp_path / "K.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_intrinsics_from_all_three_forms(tmp_path):
    for option in (
        "500,510,32,24",
        write_json(tmp_path, {"a.png": MATRIX}),
        write_json(tmp_path, [MATRIX]),
    ):
        matrix, source = given(option)
        assert source == "given"
        assert matrix.dtype == np.float64
        np.testing.assert_array_equal(matrix, MATRIX)


def changed(row, column, value):
    matrix = [list(line) for line in MATRIX]
    matrix[row][column] = value
    return matrix


@pytest.mark.parametrize(
    "content, code, facts",
    [
        ([changed(0, 0, -500)], "focal_length", {"fx": -500, "fy": 510}),
        ([changed(1, 2, math.nan)], "not_finite", {}),
        ([changed(2, 0, 1)], "form", {"found": changed(2, 0, 1)}),
        ([changed(0, 0, 0.8)], "small_focal_length", {"image": "a.png", "found": 0.8}),
        ([[1, 2, 3]], "shape", {"shape": [3]}),
        ([[[1], [2, 3], []]], "no_numbers", {}),
        (["abc"], "no_numbers", {"found": "'abc'"}),
        ([[[str(number) for number in row] for row in MATRIX]], "no_numbers", {}),
        ([MATRIX, MATRIX], "count", {"count": 1, "found": 2}),
        ([], "count", {"count": 1, "found": 0}),
        ("abc", "layout", {"found": "str"}),
    ],
)
def test_bad_intrinsics_are_refused(tmp_path, content, code, facts):
    path = write_json(tmp_path, content)
    with raises(f"intrinsics.{code}", **facts) as caught:
        given(path)
    assert str(caught.value.facts["file"]).startswith(path)


@pytest.mark.parametrize(
    "content, code, facts",
    [
        ({"b.png": MATRIX}, "list.other_names", {"found": "b.png"}),
        ({}, "list.no_names", {}),
    ],
)
def test_intrinsics_of_other_pictures_are_refused(tmp_path, content, code, facts):
    path = write_json(tmp_path, content)
    with raises(code, file=path, image="a.png", **facts):
        given(path)


@pytest.mark.parametrize(
    "option, code",
    [
        ("500,510,32", "four_numbers"),
        ("-500,510,32,24", "focal_length"),
        ("nan,510,32,24", "not_finite"),
        ("no_file.json", "neither"),
    ],
)
def test_bad_intrinsics_options_are_refused(option, code):
    with raises(f"intrinsics.{code}") as caught:
        given(option)
    assert option in str(caught.value.facts["file"])


def test_a_field_of_view_that_no_camera_has_is_refused():
    with raises("intrinsics.field_of_view", degrees=180.0):
        Intrinsics.from_option(None, default_field_of_view=math.pi)


def test_one_matrix_in_a_file_is_that_of_all_pictures(tmp_path):
    path = tmp_path / "k.json"
    path.write_text("[[500, 0, 320], [0, 500, 240], [0, 0, 1]]")
    intrinsics = Intrinsics.from_option(str(path))
    intrinsics.require_for((f"{i}.jpg" for i in range(7)), 7)
    for index in (0, 6):
        entry = ImageEntry(f"{index}.jpg", tmp_path / f"{index}.jpg")
        matrix, source = intrinsics.intrinsics_for(entry, index, (640, 480), CameraExif())
        assert source == "given" and matrix[0].tolist() == [500, 0, 320]


def test_a_part_knows_its_own_pictures_and_nothing_else(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    by_name = write_json(tmp_path, dict.fromkeys(names, MATRIX))
    named = Intrinsics.from_option(by_name)
    listed = Intrinsics.from_option(write_json(tmp_path, [MATRIX] * 3))
    entry, other = (ImageEntry(name, Path(name)) for name in names[1:])
    for intrinsics in (named, listed):
        part = intrinsics.part(1, names[1:2])
        assert len(part.by_name or part.by_index) == 1
        matrix, source = part.intrinsics_for(entry, 1, (64, 48), CameraExif())
        np.testing.assert_array_equal(matrix, MATRIX)
        assert source == "given" and part.raw(entry, 1) == MATRIX
        assert part.raw(other, 2) is None
    assert Intrinsics().part(1, names[1:2]).raw(entry, 1) is None


def test_a_picture_without_an_entry_is_told_which(tmp_path):
    path = write_json(tmp_path, {"a.png": MATRIX})
    entry = ImageEntry("b.png", Path("b.png"))
    with raises("intrinsics.no_entry", file=path, image="b.png"):
        Intrinsics.from_option(path).intrinsics_for(entry, 0, (64, 48), CameraExif())
