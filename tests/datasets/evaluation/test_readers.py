"""What every reader says of its data set is scored: the truth itself has no error."""

import json

import numpy as np
import pytest

from datasets.evaluation import EvaluationOptions, evaluate, open_estimates
from fitter.errors import InputError
from tests.support.reader_fixtures import FIXTURES


@pytest.mark.parametrize("name", FIXTURES)
def test_predictions_that_are_the_truth_are_perfect(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = FIXTURES[name](tmp_path).images
    said, full, marked, damaged = {}, 0, 0, 0
    for place in range(len(images)):
        try:
            hands = images.annotation(place).hands
        except InputError:
            damaged += 1
            continue
        whole = [hand for hand in hands if np.isfinite(hand.keypoints_2d).all(axis=1).any()]
        full += sum(bool(np.isfinite(hand.keypoints_3d).all()) for hand in whole)
        marked += len(whole)
        said[images.names[place]] = [
            {
                "xyz": np.nan_to_num(hand.keypoints_3d).tolist(),
                "uv": np.nan_to_num(hand.keypoints_2d).tolist(),
                "side": hand.side,
            }
            for hand in whole
        ]
    file = tmp_path / "pred.json"
    file.write_text(json.dumps(said))
    found = evaluate(open_estimates(file, images), images, EvaluationOptions(match="place"))
    whole = found.whole
    assert (found.dataset, whole.images) == (name, len(images) - damaged)
    assert marked and whole.found == marked and whole.left_over == whole.other_side == 0
    figures = whole.figures
    assert figures["kp2d_px"] == pytest.approx(0, abs=1e-6)
    assert bool(full) == ("root_aligned_mpjpe_mm" in figures)
    for measure in ("mpjpe_mm", "root_aligned_mpjpe_mm", "pa_mpjpe_mm"):
        assert figures.get(measure, 0) == pytest.approx(0, abs=1e-6), measure
