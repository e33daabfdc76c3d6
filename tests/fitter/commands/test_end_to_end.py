"""The main job with the real detector, on the example pictures whose geometry is known."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from fitter.commands.fit_hands import fit_hands
from fitter.hand_models import load_hand_model
from fitter.hand_models.open_hand import load_open_hand
from fitter.metrics import pa_mpjpe
from fitter.records import HandParams
from fitter.store.result_store import decode_flags
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over the examples: `results.zarr` and `overlays/`."""
    folder = tmp_path_factory.mktemp("run")
    arguments = [str(EXAMPLES), "--out", str(folder / "results.zarr"), "--quiet"]
    arguments += ["--overlays", str(folder / "overlays"), "--save-vertices"]
    arguments += ["--intrinsics", str(EXAMPLES / "intrinsics.json"), "--device", "cpu"]
    with pytest.raises(SystemExit) as status:
        fit_hands(arguments)
    assert status.value.code == 0
    return folder


@pytest.fixture(scope="module")
def results(outputs: Path) -> xr.Dataset:
    return xr.open_zarr(outputs / "results.zarr").load()


@pytest.fixture(scope="module")
def pairs(results: xr.Dataset) -> list[tuple[xr.Dataset, dict]]:
    """Every true hand with the found hand nearest to it in the picture."""
    found = []
    names = list(results.image_name.values)
    for truth in json.loads((EXAMPLES / "ground_truth.json").read_text())["hands"]:
        image = results.isel(image=names.index(truth["image"]))
        distance = np.linalg.norm(
            image.keypoints_2d.values - np.array(truth["keypoints_2d"]), axis=-1
        ).mean(-1)
        found.append((image.isel(hand=int(np.nanargmin(distance))), truth))
    return found


def test_every_hand_is_found_once_with_its_side(results, pairs) -> None:
    assert int(results.valid.sum()) == len(pairs)
    sides = [str(decode_flags(found.side).values) for found, _ in pairs]
    assert sides == [truth["side"] for _, truth in pairs]


def test_the_hands_lie_where_they_are(pairs) -> None:
    found = np.stack([hand.keypoints_3d.values for hand, _ in pairs]).astype(float)
    true = np.stack([np.array(truth["keypoints_3d"]) for _, truth in pairs])
    aligned = 1000 * pa_mpjpe(found, true)
    relative = 1000 * np.linalg.norm((found - found[:, :1]) - (true - true[:, :1]), axis=-1).mean(
        -1
    )
    distance = np.linalg.norm(found.mean(1) - true.mean(1), axis=-1)
    image = np.linalg.norm(
        np.stack([hand.keypoints_2d.values for hand, _ in pairs])
        - np.stack([np.array(truth["keypoints_2d"]) for _, truth in pairs]),
        axis=-1,
    ).mean(-1)
    assert aligned.mean() < 8 and aligned.max() < 14
    # The detector sees fingers lean toward the camera, which tilts the whole hand.
    assert relative.mean() < 25 and relative.max() < 40
    assert image.mean() < 7 and image.max() < 10
    # One picture does not tell a large hand far away from a small one nearby.
    assert distance.max() < 0.08


def test_stored_joints_follow_from_stored_parameters(results) -> None:
    models = {side: load_hand_model("open_hand", side, torch.float64) for side in ("right", "left")}
    stacked = results.stack(slot=("image", "hand"))
    for i in np.flatnonzero(stacked.valid.values):
        hand = stacked.isel(slot=i)
        params = HandParams(
            *(
                torch.from_numpy(hand[name].values.astype(float))[None]
                for name in ("global_orient", "hand_pose", "betas", "transl")
            )
        )
        mesh = models[str(decode_flags(hand.side).values)](params)
        for name, array in (
            ("joints_3d", mesh.joints),
            ("keypoints_3d", mesh.keypoints),
            ("vertices", mesh.vertices),
        ):
            assert np.abs(array[0].numpy() - hand[name].values).max() < 1e-5, name


def test_overlays_change_the_hands_and_little_else(outputs: Path, results) -> None:
    from fitter.inputs.images import read_image
    from fitter.rendering.overlay_names import overlay_name

    for index, name in enumerate(results.image_name.values):
        overlay = read_image(outputs / "overlays" / overlay_name(name)).astype(int)
        photograph = read_image(EXAMPLES / name).astype(int)
        change = np.abs(overlay - photograph).max(-1)
        assert 0.01 < (change > 30).mean() < 0.5
        x, y = results.isel(image=index, hand=0).keypoints_2d.values[9].astype(int)
        # A left hand's orange is not far from skin.
        assert (change > 15)[y - 8 : y + 8, x - 8 : x + 8].mean() > 0.5


def test_a_model_in_manos_layout_is_fitted_as_well(tmp_path: Path, pairs) -> None:
    """The open hand's own MANO file stands for a MANO_RIGHT.pkl of the user's."""
    data = load_open_hand()
    file = resources.files("fitter.hand_models") / "assets" / "open_hand_mano.pkl"
    with resources.as_file(file) as path, pytest.raises(SystemExit) as status:
        fit_hands(
            [str(EXAMPLES), "--out", str(tmp_path / "m.zarr"), "--quiet", "--model", str(path)]
            + ["--set", f"model.fingertips={list(data.tip_vertices)}", "--device", "cpu"]
            + ["--intrinsics", str(EXAMPLES / "intrinsics.json")]
        )
    assert status.value.code == 0
    results = xr.open_zarr(tmp_path / "m.zarr").load()
    assert json.loads(results.attrs["model"])["name"] == "mano"
    assert int(results.valid.sum()) == len(pairs)
    # Its keypoints are the joints, which the detector does not mark, so only the place is asked.
    assert results.residual_px.max() < 40


def test_a_finished_run_is_not_repeated(outputs: Path) -> None:
    store = outputs / "results.zarr"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as status:
        fit_hands(
            [str(EXAMPLES), "--out", str(store), "--quiet", "--save-vertices", "--resume"]
            + ["--intrinsics", str(EXAMPLES / "intrinsics.json"), "--device", "cpu"]
        )
    assert status.value.code == 0
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()} == before
