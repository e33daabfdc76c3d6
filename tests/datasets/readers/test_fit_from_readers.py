"""`fit-hands --dataset` takes every reader's images, K and keypoints by the same flag."""

import numpy as np
import pytest
import xarray as xr

from fitter.errors import InputError
from fitter.store.reader import StoreReader, decode_flags
from tests.support.bad_commands import ALONE
from tests.support.reader_fixtures import FIXTURES
from tests.support.same_process import SameProcess


@pytest.mark.parametrize("name", FIXTURES)
def test_the_store_holds_what_the_data_set_says(name, tmp_path, say, monkeypatch):
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
    written = FIXTURES[name](tmp_path)
    images = written.images
    folder = images.root if name != "store" else tmp_path / "r.zarr"
    out = tmp_path / "fitted.zarr"
    options = ["--split", images.split] if images.split else []
    options += ["--use", "keypoints", "--device", "cpu", *ALONE]
    told = say("--dataset", name, folder, "--out", out, *options)
    assert told.status in (0, 1), told.err
    place = StoreReader.open(out).dataset_place
    assert place == {"name": name, "folder": str(folder), "split": images.split}
    results = xr.open_zarr(out).load()
    names = list(images.names)
    assert results.image_name.values.tolist() == sorted(names)
    status = decode_flags(results.image_status).values
    sources = decode_flags(results.intrinsics_source).values
    fitted = 0
    on_disk = {names[place] for place in written.places[:50]}
    for row, image in enumerate(results.image_name.values):
        if image not in on_disk and row % (1 + len(names) // 50):
            continue
        try:
            sample = images[names.index(image)]
        except InputError as error:
            assert status[row] == "failed" and results.image_error.values[row]
            assert error.code.split(".")[0] in ("dataset", "image", "json", "keypoints")
            continue
        hands = [h for h in sample.annotation.hands if np.isfinite(h.keypoints_2d).all(1).any()]
        if any(hand.side is None for hand in hands):
            assert status[row] == "failed"
            continue
        assert status[row] == ("ok" if hands else "no_hand"), results.image_error.values[row]
        if images.has_intrinsics:
            np.testing.assert_array_equal(
                results.intrinsics.values[row], sample.annotation.intrinsics
            )
        assert sources[row] == ("given" if images.has_intrinsics else "default")
        for slot, hand in enumerate(hands):
            marked = np.isfinite(hand.keypoints_2d).all(1)
            np.testing.assert_allclose(
                results.keypoints_2d_detected.values[row, slot][marked],
                hand.keypoints_2d[marked],
                atol=1e-3,
            )
            fitted += 1
    assert fitted
