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
