"""Accuracy on real photographs with annotated joints; skipped without `HAND_REAL_DATA`.

`HAND_REAL_DATA` names a folder that holds `dev/`, 150 pictures in FreiHAND's evaluation layout.
"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.eval_command import eval_hands
from fitter.commands.fit_hands import fit_hands

REAL = os.environ.get("HAND_REAL_DATA")
pytestmark = pytest.mark.skipif(REAL is None, reason="HAND_REAL_DATA is not set")


def measure(images: Path, intrinsics: Path, dataset: Path, out: Path) -> dict:
    """Fit a folder of pictures and score it against annotations."""
    with pytest.raises(SystemExit) as status:
        fit_hands(
            [str(images), "--intrinsics", str(intrinsics), "--max-hands", "1", "-q"]
            + ["--out", str(out / "d.zarr")]
        )
    assert status.value.code == 0
    with pytest.raises(SystemExit) as status:
        eval_hands(
            [str(out / "d.zarr"), "--dataset", "freihand", str(dataset), "-q"]
            + ["--json", str(out / "d.json")]
        )
    assert status.value.code == 0
    return json.loads((out / "d.json").read_text())


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> dict:
    dev = Path(REAL) / "dev"
    return measure(
        dev / "evaluation" / "rgb",
        dev / "evaluation_K.json",
        dev,
        tmp_path_factory.mktemp("upright"),
    )


def test_every_hand_is_found_and_close(upright: dict) -> None:
    assert upright["found"] == upright["images"] == 150
    assert upright["pa_mpjpe_mm"] <= 8.2


def test_mirrored_pictures_are_as_good(upright: dict, tmp_path: Path) -> None:
    """The left-hand path: every picture, its K and its annotation mirrored."""
    dev = Path(REAL) / "dev"
    folder = tmp_path / "evaluation" / "rgb"
    folder.mkdir(parents=True)
    matrices = json.loads((dev / "evaluation_K.json").read_text())
    points = np.array(json.loads((dev / "evaluation_xyz.json").read_text()))
    for path, matrix in zip(sorted((dev / "evaluation" / "rgb").iterdir()), matrices, strict=True):
        pixels = cv2.imread(str(path))[:, ::-1]
        matrix[0][2] = pixels.shape[1] - matrix[0][2]
        cv2.imwrite(str(folder / path.name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
    (tmp_path / "evaluation_K.json").write_text(json.dumps(matrices))
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps((points * [-1, 1, 1]).tolist()))
    mirrored = measure(folder, tmp_path / "evaluation_K.json", tmp_path, tmp_path)
    assert mirrored["found"] == 150
    assert abs(mirrored["pa_mpjpe_mm"] - upright["pa_mpjpe_mm"]) < 0.4
