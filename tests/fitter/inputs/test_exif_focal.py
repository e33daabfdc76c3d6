"""Which focal lengths of EXIF are believed: what real files say, and fits of a hand by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fitter import HandFitter
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.exif_focal import judged_exif
from tests.support.bad_files import HAND, known_hands
from tests.support.exif_cases import CASES, ExifCase, exif_bytes, read_back


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_focal_length_is_true_or_not_believed(case: ExifCase) -> None:
    found = judged_exif(read_back(case.tags), case.size)
    assert (found.focal is not None) == case.is_believed, found.note
    says_one = any("35mm" in name and value for name, value in case.tags.items())
    assert bool(found.note) == (says_one or "FocalPlaneXResolution" in case.tags)
    if found.focal is not None:
        assert case.true is not None
        np.testing.assert_allclose(found.focal, case.true, rtol=0.1)
    else:
        assert not found.note or "not believed" in found.note


def test_the_table_has_both_kinds() -> None:
    believed = sum(case.is_believed for case in CASES)
    assert believed >= 20 and len(CASES) - believed >= 15
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [c for c in CASES if c.is_believed], ids=lambda case: case.name)
def test_turning_a_picture_turns_its_focal_lengths(case: ExifCase) -> None:
    exif = read_back(case.tags)
    if exif.plane_pixels_per_mm is not None:  # pixels that are not square
        x, y = exif.plane_pixels_per_mm
        exif = replace(exif, plane_pixels_per_mm=(x, 1.01 * y))
    turned = replace(exif, swaps_axes=not exif.swaps_axes)
    as_is = judged_exif(exif, case.size).focal
    found = judged_exif(turned, case.size[::-1]).focal
    assert as_is is not None and found is not None
    assert found == pytest.approx(as_is[::-1])


def test_resizing_with_all_entries_kept_scales_the_focal_length() -> None:
    exif = CameraExif(focal_mm=4.2, focal_35mm=26.0, pixel_size=(4032, 3024), make="Apple")
    whole = judged_exif(exif, (4032, 3024)).focal
    assert whole is not None
    for divisor in (2, 3, 4, 6, 8):
        found = judged_exif(exif, (4032 // divisor, 3024 // divisor)).focal
        assert found == pytest.approx([f / divisor for f in whole])


def test_notes_name_what_is_believed_and_what_is_not() -> None:
    case = next(case for case in CASES if case.name == "the same with an equivalent")
    note = judged_exif(read_back(case.tags), case.size).note
    assert note.startswith("EXIF: 35 mm equivalent of 26 mm; focal length of 5.6 mm")
    assert "0.893 x 0.669 mm" in note


DEPTH_CASES: list[tuple[dict[str, Any], bool]] = [
    ({"FocalLengthIn35mmFilm": 0, "FocalLength": 4.2}, False),
    ({"FocalLengthIn35mmFilm": 1000}, False),
    ({"FocalLengthIn35mmFilm": 20000}, False),
    *((case.tags, case.is_believed) for case in CASES if case.size == (640, 480)),
    ({"FocalLengthIn35mmFilm": 30, "FocalLength": 5.0}, True),
]


def test_a_hand_is_as_far_away_as_its_camera_or_the_stated_default_says(
    tmp_path: Path,
) -> None:
    """Depth goes with the focal length: one hand in one picture with many EXIF blocks."""
    with Image.open(HAND) as image:
        picture = image.convert("RGB")
    assert picture.size == (640, 480)
    paths = [tmp_path / f"{number}.jpg" for number in range(len(DEPTH_CASES))]
    for path, (tags, _) in zip(paths, DEPTH_CASES, strict=True):
        picture.save(path, exif=exif_bytes(tags))
    options = {"init.source": "keypoints", "refine.stages": {}}
    fit = HandFitter(device="cpu", options=options)
    given = [known_hands()] * (len(paths) + 1)
    *found, (wanted,) = fit([*paths, np.asarray(picture)], keypoints=given)
    assert wanted.intrinsics_source == "default"
    assert wanted.keypoints_3d is not None
    true = wanted.keypoints_3d[0, 2] / wanted.intrinsics[0, 0]
    for (tags, is_believed), (hand,) in zip(DEPTH_CASES, found, strict=True):
        assert hand.keypoints_3d is not None
        assert hand.intrinsics_source == ("exif" if is_believed else "default"), tags
        # What is believed is true in the table above; here only that depth follows it.
        assert hand.keypoints_3d[0, 2] / hand.intrinsics[0, 0] == pytest.approx(true, rel=0.03)
        assert 0.2 < hand.keypoints_3d[0, 2] < 1.0
