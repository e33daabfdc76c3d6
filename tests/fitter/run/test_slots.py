"""Hands beyond the slots of an image, and hands that the detector's looks take for none."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.config.options import load_config
from fitter.errors import sentence
from fitter.fitted_hands import without_phantom
from fitter.hand_slots import image_row
from fitter.records import LEAST_PRESENCE
from fitter.run.summary import Summary
from fitter.run.telling import report
from fitter.store.schema import HandRow
from fitter.workers.batches import FittedBatch
from fitter.workers.image_detector import find_hands
from tests.support.drawn_hands import canvas, observed, record, shape


def found(count, *settings):
    config = load_config(None, ["refine.stages={}", *settings])
    hands = [observed(shape(60, (100 + 70 * k, 100)), 0.9) for k in range(count)]
    return find_hands(record(canvas(2000, 200)), hands, None, None, config)


@pytest.mark.parametrize(
    ("settings", "slots"),
    [
        ((), 16),
        (("detector.max_slots=5",), 5),
        (("detector.max_hands=3",), 3),
        (("detector.max_hands=20",), 20),
    ],
)
def test_hands_without_a_slot_are_counted_and_said(settings, slots, tmp_path):
    image = found(22, *settings)
    assert (len(image.hands), image.hands_beyond) == (slots, 22 - slots)
    row = image_row(image, [HandRow(valid=True, side="right", score=0.9)] * slots)
    summary, said = Summary(), []
    summary.add([FittedBatch(0, ["a.png"], [row], 0)])
    assert summary.counts()["beyond"] == 22 - slots
    summary.seconds = 1.0
    report(summary, tmp_path / "a.zarr", None, said.append)
    assert any(line.startswith(f"{22 - slots} hands more than there are slots") for line in said)


def test_hands_and_their_images_are_counted_where_they_are_valid(tmp_path):
    """The numbers are of the same hands: 1 hand cannot be in 2 images."""
    image, other = found(2), found(1)
    valid = HandRow(valid=True, side="right", score=0.9)
    refused = replace(valid, valid=False)
    rows = [image_row(image, [valid, refused]), image_row(other, [refused])]
    summary, said = Summary(seconds=1.0), []
    summary.add([FittedBatch(0, ["a.png", "b.png"], rows, 0)])
    report(summary, tmp_path / "a.zarr", None, said.append)
    assert (summary.hands, summary.with_hands, summary.refused) == (1, 1, 2)
    assert any(line.startswith("2 images: 1 valid hand in 1 of them, ") for line in said)


def test_where_there_are_slots_enough_nothing_is_said(tmp_path):
    image = found(2)
    assert image.hands_beyond == 0
    summary, said = Summary(seconds=1.0), []
    summary.add([FittedBatch(0, ["a.png"], [image_row(image, [])], 0)])
    report(summary, tmp_path / "a.zarr", None, said.append)
    assert not any("more than there are slots" in line for line in said)


def test_what_the_looks_take_for_no_hand_is_not_valid_and_says_why():
    row = HandRow(valid=True, side="right", score=0.4, fit_status="converged")
    hand = observed(shape(60), 0.9)
    assert without_phantom(row, hand) is row  # nobody was asked
    assert without_phantom(row, replace(hand, presence=LEAST_PRESENCE)) is row
    refused = without_phantom(row, replace(hand, presence=0.5))
    assert not refused.valid and refused.is_refused and not refused.has_failed
    assert refused.fit_error == sentence("fit.phantom", {"least": LEAST_PRESENCE, "found": 0.5})
    assert replace(refused, valid=True, fit_error=None) == row
    failed = HandRow(valid=False, side="right", fit_error="why")
    assert without_phantom(failed, replace(hand, presence=0.1)) is failed
    assert failed.has_failed and not failed.is_refused
    assert np.isfinite(refused.score)
