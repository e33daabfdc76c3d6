"""What is told of hands that are not valid: fits that failed, and fits that were refused."""

from __future__ import annotations

from dataclasses import replace

from fitter.run.resuming import count_done
from fitter.run.summary import Summary
from fitter.store.failures import failures
from fitter.store.result_store import ResultStore
from fitter.store.schema import HandRow, ImageRow
from fitter.workers.batches import FittedBatch
from tests.support.store_rows import SPEC, fake_hand

FAILED = HandRow(valid=False, side="left", fit_status="diverged", fit_error="no hand")
REFUSED = replace(fake_hand(1), valid=False, score=0.1, fit_error="too low")
GOOD = replace(fake_hand(2), score=0.9)
ROWS = [
    ImageRow(image_status="ok", hands=(GOOD, FAILED)),
    ImageRow(image_status="ok", hands=(REFUSED,)),
    ImageRow(image_status="failed", image_error="cut off"),
    ImageRow(image_status="no_hand"),
]


def test_refused_hands_are_listed_as_such_and_are_no_failures(tmp_path) -> None:
    with ResultStore.create(tmp_path / "r.zarr", SPEC) as store:
        block = store.pending_blocks()[0]
        store.write_block(block, ROWS)
        names = store.names[block.start : block.stop]
        assert list(failures(store)) == [
            (names[0], "1", "fit", "no hand"),
            (names[1], "0", "quality", "too low"),
            (names[2], "", "image", "cut off"),
        ]
        summary = Summary()
        count_done(store, summary)
        assert (summary.fits_failed_before, summary.failed_before) == (1, 1)


def test_a_run_with_refused_hands_has_no_failures() -> None:
    summary = Summary()
    summary.add([FittedBatch(start=0, names=["a"], rows=[ROWS[1]], masks=0)])
    assert summary.refused == 1 and summary.hands == 0 and not summary.has_failures
    summary.add([FittedBatch(start=1, names=["b"], rows=[ROWS[0]], masks=0)])
    assert summary.refused == 1 and summary.fit_failures.count == 1 and summary.has_failures
