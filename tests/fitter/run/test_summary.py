"""What is told at the end of a run."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fitter.errors.sentences import SENTENCES
from fitter.run.failure_kinds import by_kind
from fitter.run.summary import Summary
from fitter.run.telling import report, report_errors
from fitter.store.schema import HandRow, ImageRow
from fitter.workers.batches import FittedBatch


@pytest.mark.parametrize("found", [None, 3])
def test_rejected_masks_are_told_wherever_they_come_from(found):
    """Given ones, of which some are found, and those that the fit makes itself."""
    told: list[str] = []
    report(
        Summary(images=3, seconds=1.0, masks_rejected=2, masks_found=found),
        Path("o"),
        None,
        told.append,
    )
    assert "2 hands fitted without a mask, because it contradicted the keypoints" in told
    assert any(line.startswith("masks found") for line in told) == (found is not None)
    told.clear()
    report(Summary(images=3, seconds=1.0, masks_found=found), Path("o"), None, told.append)
    assert told and not any("without a mask" in line for line in told)


@pytest.mark.parametrize(
    ("images", "said"),
    [(1, "; 4.9 s"), (9, "; 4.9 s"), (10, "; 4.9 s, 2.0 images a second")],
)
def test_of_few_images_the_time_is_told_and_no_rate(images, said):
    told: list[str] = []
    report(Summary(images=images, hands=1, seconds=4.9), Path("o"), None, told.append)
    assert told[0].endswith(said)
    assert images > 1 or len(told[0]) <= 80


def test_what_a_pass_left_out_counts_for_nothing_else():
    told: list[str] = []
    summary = Summary(seconds=4.0, stopped_in="pass 1 of 2", left=8)
    read = ImageRow(image_status="no_hand", image_width=4, image_height=4)
    of_pass = [read, *[ImageRow(image_status="no_hand")] * 30, read]
    summary.add([FittedBatch(0, [f"{k}.jpg" for k in range(32)], of_pass, 0)])
    report(summary, Path("o"), None, told.append)
    assert told[0].startswith("pass 1 of 2: 2 images: ") and told[0].endswith("; 4.0 s")
    assert told[1].startswith("30 images ") and "8 images left to do" in told[2]
    assert summary.counts()["images"] == 2 and summary.counts()["unread"] == 30


def rows(count):
    return [ImageRow(image_status="failed", image_error=f"reason {k}") for k in range(count)]


def test_failures_are_counted_by_kind_with_the_way_out():
    codes = ["image.damaged"] * 3 + ["image.empty", "keypoints.outside", "image.missing", "x.y"]
    names = [f"{k}.jpg" for k in range(len(codes))]
    summary = Summary(seconds=1.0)
    batch = FittedBatch(0, names, rows(7), 0, codes=dict(zip(names, codes, strict=True)))
    summary.add([batch])
    table = Path("r.zarr.failures.csv")
    told: list[str] = []
    report(summary, Path("r.zarr"), table, told.append)
    expected = {
        "4 images are damaged or no pictures (copy or convert anew): see r.zarr.failures.csv",
        "1 image has unusable keypoints (see docs/inputs.md): see r.zarr.failures.csv",
        "1 image is not there (is the disk or folder connected?): see r.zarr.failures.csv",
        "1 image failed for another reason: see r.zarr.failures.csv",
    }
    assert expected <= set(told)
    told.clear()
    report_errors(summary, table, told.append)
    assert set(told) == expected and told[0].startswith("4 images")


def test_without_errors_a_quiet_run_says_nothing():
    told: list[str] = []
    report_errors(Summary(images=3, hands=2, seconds=1.0), Path("t"), told.append)
    assert told == []


OF_IMAGES = (
    "address", "camera", "hand", "image", "intrinsics", "json", "keypoints", "lens", "mask",
    "object", "shard", "video", "worker",
)  # fmt: skip
"""What codes of errors begin with that fail an image."""


def test_every_code_that_fails_an_image_has_a_kind_and_a_way_out():
    """The general kind is for faults that nobody has thought of."""
    codes = [code for code in SENTENCES if code.split(".")[0] in OF_IMAGES]
    codes.remove("worker.lost_at_start")  # ends the run
    assert {code.split(".")[0] for code in codes} == set(OF_IMAGES)
    for code in codes:
        for number in (1, 2):
            (said,) = by_kind(Counter({code: number}), "image", None)
            assert re.fullmatch(rf"{number} images? .* \(.+\): the store says why", said), code
            assert "another reason" not in said and "other reasons" not in said, code


def test_what_to_do_next_is_said_where_there_are_hands():
    told: list[str] = []
    report(Summary(images=1, hands=1, seconds=1.0), Path("a b/r.zarr"), None, told.append)
    assert told[-4:] == [
        "results: a b/r.zarr",
        "to look at them: report-hands 'a b/r.zarr' --out 'a b/r.html'",
        "or, in 3D: view-hands 'a b/r.zarr'",
        "to use them elsewhere: export-hands 'a b/r.zarr' --format glb --out 'a b/r-meshes'",
    ]
    told.clear()
    report(Summary(images=1, seconds=1.0), Path("r.zarr"), None, told.append)
    assert told[-1] == "results: r.zarr"


@pytest.mark.parametrize(
    ("hands", "said"),
    [
        ([HandRow(penetration_depth=0.012)], "1 hand more than 5 mm deep in another"),
        ([HandRow(penetration_depth=0.004, object_gap=-0.004)], None),
        ([HandRow()], None),
        ([HandRow(object_gap=-0.006)] * 2, "2 hands more than 5 mm deep in a known object"),
        ([HandRow(object_gap=0.07)], "more than 6 cm from every hand in 1 image (a.jpg)"),
        ([HandRow(object_gap=0.07), HandRow(object_gap=0.05)], None),
    ],
)
@pytest.mark.parametrize("is_valid", [True, False])
def test_what_is_wrong_between_hands_and_what_they_touch_is_said(hands, said, is_valid):
    """Of known objects also where the hand was refused."""
    if any(hand.penetration_depth for hand in hands) and not is_valid:
        said = None
    rows = tuple(replace(hand, valid=is_valid, score=0.9) for hand in hands)
    summary, told = Summary(seconds=1.0), []
    summary.add([FittedBatch(0, ["a.jpg"], [ImageRow(image_status="ok", hands=rows)], 0)])
    report(summary, Path("r.zarr"), None, told.append)
    found = [line for line in told if "deep in" in line or "every hand" in line]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.mp4/00000000"], "1 frame of 1 video: 0 valid hands in 0 of them, 1 frame failed"),
        (
            ["a.mp4/00000000", "a.mp4/00000004", "b.mkv/00000000"],
            "3 frames of 2 videos: 0 valid hands in 0 of them, 3 frames failed",
        ),
        (
            ["a.jpg", "b.mkv/00000000", "b.mkv/00000001"],
            "3 images (2 frames of 1 video, 1 picture): 0 valid hands in 0 of them, 3 images "
            "failed",
        ),
        (["a.jpg", "b.jpg"], "2 images: 0 valid hands in 0 of them, 2 images failed"),
    ],
)
def test_frames_of_videos_are_told_from_pictures(names, said):
    summary, told = Summary(seconds=1.0), []
    summary.add([FittedBatch(0, names, rows(len(names)), 0)])
    report(summary, Path("r.zarr"), None, told.append)
    assert any(line.startswith(said) for line in told)


@pytest.mark.parametrize("table", [None, Path("r.zarr.failures.csv")])
def test_files_that_could_not_be_read_stand_in_the_summary(table):
    told: list[str] = []
    report(Summary(images=3, seconds=1.0, broken=["a: x", "b: y"]), Path("r"), table, told.append)
    (line,) = [line for line in told if "could not be read to the end" in line]
    assert line.startswith("2 files of") and line.endswith(f"see {table or 'above'}")
