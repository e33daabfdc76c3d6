"""What a run says of cameras in doubt, and of hands that are too far away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from fitter.run.camera_notes import CameraNotes, camera_doubts
from fitter.store.schema import HandRow, ImageRow
from tests.support.bad_files import HAND, known_hands
from tests.support.exif_cases import exif_bytes


def row(distance: float, **facts: str) -> ImageRow:
    keypoints = np.full((21, 3), distance, np.float32)
    return ImageRow(
        image_status="ok", hands=(HandRow(valid=True, keypoints_3d=keypoints),), **facts
    )


def test_only_what_is_doubtful_is_told() -> None:
    notes = CameraNotes()
    notes.add("fine.jpg", row(0.4, intrinsics_source="exif", intrinsics_note="EXIF: 26 mm"))
    notes.add("bare.jpg", row(9.9, intrinsics_source="default"))
    notes.add("empty.jpg", ImageRow(image_status="no_hand", intrinsics_source="default"))
    assert notes == CameraNotes() and not notes.sentences()
    notes.add("far.jpg", row(231.4, intrinsics_source="given"))
    notes.add(
        "lie.jpg", row(0.4, intrinsics_source="default", intrinsics_note="EXIF: not believed")
    )
    notes.add("both.jpg", row(11.0, intrinsics_source="default", intrinsics_note="EXIF: no"))
    doubted, far = notes.sentences()
    assert doubted.startswith("2 images with EXIF") and "(lie.jpg: EXIF: not believed)" in doubted
    assert far.startswith("2 images with a hand more than 10 m") and "(far.jpg: 231 m)" in far
    both = row(11.0, intrinsics_source="default", intrinsics_note="EXIF: no")
    assert [kind for kind, _ in camera_doubts(both)] == ["exif", "far"]


def test_a_hand_at_the_lens_is_asked_about_like_one_far_away() -> None:
    notes = CameraNotes()
    notes.add("close.jpg", row(0.11, intrinsics_source="given"))
    assert not notes.sentences()
    notes.add("near.jpg", row(0.046, intrinsics_source="given"))
    (near,) = notes.sentences()
    assert near.startswith("1 image with a hand less than 0.1 m") and "(near.jpg: 0.046 m)" in near


def camera_row(focal: float, **facts: str) -> ImageRow:
    matrix = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    return ImageRow(
        image_status="no_hand", intrinsics=matrix, image_width=640, image_height=480, **facts
    )


def test_a_given_k_that_sees_more_than_lenses_do_is_asked_about() -> None:
    # A lens of 10 mm has 10 / 43.27 of the diagonal of 800 pixels: 185.
    assert not camera_doubts(camera_row(186, intrinsics_source="given"))
    assert not camera_doubts(camera_row(77.5, intrinsics_source="given", lens_model="fisheye"))
    assert not camera_doubts(camera_row(77.5, intrinsics_source="exif"))
    ((kind, reason),) = camera_doubts(camera_row(77.5, intrinsics_source="given"))
    assert (kind, reason) == ("wide", "153 degrees")
    notes = CameraNotes()
    notes.add("a.jpg", camera_row(77.5, intrinsics_source="given"))
    assert "more than a lens of 10 mm" in notes.sentences()[0] and "a.jpg" in notes.sentences()[0]


def test_a_run_stores_and_tells_what_it_believed(say) -> None:
    Path("cameras").mkdir()
    with Image.open(HAND) as image:
        for name, mm in (("lie", 20000), ("true", 30)):
            image.save(f"cameras/{name}.jpg", exif=exif_bytes({"FocalLengthIn35mmFilm": mm}))
    hands = {name: known_hands() for name in ("lie.jpg", "true.jpg")}
    Path("hands.json").write_text(json.dumps(hands))
    options = (
        "--keypoints",
        "hands.json",
        "--set",
        "refine.stages={}",
        "--set",
        "init.source=keypoints",
    )
    told = say("cameras", "--out", "o.zarr", *options)
    assert told.status == 0, told.err
    results = xr.open_zarr("o.zarr").load()
    lie, true = results.intrinsics_note.values.tolist()
    assert lie.startswith("EXIF: 35 mm equivalent of 20000 mm not believed")
    assert true == "EXIF: 35 mm equivalent of 30 mm"
    text = " ".join((told.out + told.err).split())
    assert "1 image with EXIF that was not believed" in text and "lie.jpg" in text
    assert "more than 10 m" not in text
    log = [json.loads(line) for line in Path("o.zarr.log.jsonl").read_text().splitlines()]
    (doubted,) = [event for event in log if event["event"] == "doubted"]
    assert (doubted["image"], doubted["kind"], doubted["reason"]) == ("lie.jpg", "exif", lie)
