"""What the command makes of masks and stages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

import fitter
from fitter.camera import project
from fitter.config.stages import DEFAULT_STAGES
from fitter.hand_models import load_appearance, load_hand_model
from fitter.raster import rasterize
from fitter.records import HandParams
from fitter.store.result_store import decode_flags
from tests.support import bad_files
from tests.support.bad_commands import FAST

pytestmark = pytest.mark.usefixtures("same_process")

KEYPOINTS = ["--init", "keypoints"]
"""No network initialises: these tests are about what follows."""

TRUTH = next(
    hand
    for hand in json.loads((bad_files.EXAMPLES / "ground_truth.json").read_text())["hands"]
    if hand["image"] == "open_palm.jpg"
)


def true_mask() -> np.ndarray:
    """(480, 640) bool, the first example's hand as its ground truth draws it."""
    hand = load_hand_model("open_hand", dtype=torch.float64)
    names = ("global_orient", "hand_pose", "betas", "transl")
    params = HandParams(*(torch.tensor(TRUTH[name]).double()[None] for name in names))
    vertices = hand(params).vertices
    positions = project(vertices, torch.tensor(TRUTH["K"]).double()[None])
    screen = torch.cat([positions, vertices[..., 2:]], -1)
    return rasterize(screen, hand.faces, (480, 640)).mask[0].numpy()


@pytest.fixture(scope="module")
def masks(workplace: Path) -> Path:
    """Next to the workplace's picture of the example: its true mask, and others that are not."""
    mask = true_mask()
    for name, array in {
        "masks": mask,
        "small_masks": mask[:100, :50],
        "other_masks": mask[:, ::-1],
    }.items():
        (workplace / name).mkdir()
        Image.fromarray(array.astype(np.uint8) * 255).save(workplace / name / "a.png")
    (workplace / "K.json").write_text(json.dumps(TRUTH["K"]))
    return workplace


def run(say, *arguments: object, out: str = "o.zarr") -> tuple[object, xr.Dataset]:
    told = say("photos", "--out", out, *FAST, *KEYPOINTS, "--intrinsics", "K.json", *arguments)
    return told, xr.open_zarr(out).load()


def test_the_command_uses_given_masks(masks, here, say) -> None:
    told, rows = run(say, "--masks", "masks")
    assert told.status == 0
    hand = rows.isel(image=0, hand=0)
    assert decode_flags(hand.mask_source) == "given"
    assert hand.mask_iou > 0.93 and hand.mask_agreement > 0.8
    assert decode_flags(hand.refine_status) in ("converged", "max_iterations", "stalled")
    most = sum(stage.iterations for stage in DEFAULT_STAGES.values())
    assert 0 < hand.refine_iterations <= most
    # What is stored fits the mask as the store says: drawn again, in the whole picture.
    drawn = mask_of(rows)
    expected = true_mask()
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.9

    # The run can go on with the same masks, and with no others.
    again = ["--resume", "--masks"]
    assert run(say, *again, "masks")[0].status == 0
    given = ["photos", "--out", "o.zarr", *FAST, *KEYPOINTS, "--intrinsics", "K.json"]
    other = say(*given, *again, "other_masks")
    assert other.status == 2 and "masks" in other.err and other.err.count("\n") == 1
    none = say(*given, "--resume")
    assert none.status == 2 and "masks" in none.err


def test_a_mask_of_another_place_is_told_in_the_summary(masks, here, say) -> None:
    told, rows = run(say, "--masks", "other_masks")
    assert decode_flags(rows.mask_source).values.flat[0] == "rejected"
    said = told.err.splitlines()
    assert "masks found for 1 of 1 image" in said
    assert "1 hand fitted without a mask, because it contradicted the keypoints" in said


def mask_of(rows: xr.Dataset) -> np.ndarray:
    """(480, 640) bool, the first stored hand drawn with the stored parameters and camera."""
    hand = rows.isel(image=0, hand=0)
    names = ("global_orient", "hand_pose", "betas", "transl")
    params = HandParams(*(torch.tensor(hand[name].values).double()[None] for name in names))
    model = load_hand_model("open_hand", dtype=torch.float64)
    vertices = model(params).vertices
    matrix = torch.tensor(rows.intrinsics.values[0])[None]
    screen = torch.cat([project(vertices, matrix), vertices[..., 2:]], -1)
    return rasterize(screen, model.faces, (480, 640)).mask[0].numpy()


def test_a_mask_of_another_size_fails_its_picture_alone(masks, here, say) -> None:
    shutil.copytree("photos", "two", dirs_exist_ok=True)
    shutil.copy(bad_files.HAND, "two/b.jpg")
    known = json.loads(Path("known.json").read_text())
    Path("two.json").write_text(json.dumps({**known, "b.jpg": known["a.jpg"]}))
    arguments = ("--keypoints", "two.json", "--device", "cpu", *KEYPOINTS, "--masks", "small_masks")
    told = say("two", "--out", "o.zarr", *arguments)
    rows = xr.open_zarr("o.zarr").load()
    assert decode_flags(rows.image_status).values.tolist() == ["failed", "ok"]
    sentence = str(rows.image_error[0].values)
    # Their folder's name, but not where it lies: the same run elsewhere gives the same rows.
    assert sentence == (
        "small_masks/a.png: expected a mask of 640 x 480 pixels as its picture 'a.jpg' has, or "
        "scaled from it, found 50 x 100"
    )
    assert sentence in told.err
    assert decode_flags(rows.mask_source[1, 0]) == "network"


def test_masks_without_a_stage_that_uses_them_are_refused(masks, here, refused) -> None:
    refused(
        "--masks: expected stages that use masks, found refine.stages empty",
        *FAST,
        "--masks",
        "masks",
        "--set",
        "refine.stages={}",
    )


def test_without_stages_the_rows_are_those_of_the_keypoints(masks, here, say) -> None:
    """The stages add to what the fit to the keypoints left, and change nothing it says."""
    _, rows = run(say, "--set", "refine.stages={}")
    hand = rows.isel(image=0, hand=0)
    assert hand.valid and decode_flags(hand.refine_status) == "none"
    assert decode_flags(hand.mask_source) == "none" and hand.refine_iterations == 0
    assert hand.mask_iou.isnull() and hand.mask_agreement.isnull() and hand.focal_scale.isnull()
    shutil.rmtree("o.zarr")
    nothing = (
        "{solver: lm, iterations: 3, free: [global_orient, pose, shape, camera], "
        "energies: {keypoints: 0}}"
    )
    sets = ("--set", "refine.stages={}", "--set", f"refine.stages.nothing={nothing}")
    _, still = run(say, *sets)
    same = still.isel(image=0, hand=0)
    assert decode_flags(same.refine_status) == "converged"
    for name in ("fit_status", "iterations", "final_cost", "keypoints_2d_detected", "box"):
        np.testing.assert_array_equal(same[name].values, hand[name].values)
    # Stages that ask for nothing leave the parameters, but for single precision.
    for name in ("global_orient", "hand_pose", "betas", "transl", "keypoints_2d"):
        np.testing.assert_allclose(same[name].values, hand[name].values, atol=1e-4)


EVERYTHING = (
    "{solver: adam, iterations: 3, "
    "free: [global_orient, camera, focal, offsets, appearance, vertex_colours, texture, lighting], "
    "energies: {keypoints: 1.0, silhouette_l2: 0.001, photometric_rgb: 1.0}, "
    "learning_rate: 0.01, rates: {offsets: 0.003, camera: 0.02, global_orient: 0.2}}"
)
ALL_FREE = ("--set", "refine.stages={}", "--set", f"refine.stages.a={EVERYTHING}")
TEXELS = ("--set", "refine.texture_size=32")


def test_all_that_stages_may_free_is_stored(masks, here, say) -> None:
    """A focal length that is guessed, because nothing is told of the camera, may move."""
    Path("plain").mkdir()
    Image.fromarray(np.asarray(Image.open("photos/a.jpg"))).save("plain/a.jpg", quality=95)
    given = (*FAST, *KEYPOINTS, *ALL_FREE, *TEXELS)
    told = say("plain", "--out", "o.zarr", *given, "--save-vertices", "--overlays", "o")
    assert told.status == 0 and Path("o/a.jpg.jpg").exists()
    rows = xr.open_zarr("o.zarr").load()
    hand = rows.isel(image=0, hand=0)
    scale = hand.focal_scale.item()
    assert abs(scale - 1) > 1e-3
    matrix = torch.tensor(rows.intrinsics.values[0])[None]
    points = torch.tensor(hand.keypoints_3d.values).double()[None]
    given = project(points, matrix)[0].numpy()
    matrix[:, :2, :2] *= scale
    drawn = project(points, matrix)[0].numpy()
    np.testing.assert_allclose(hand.keypoints_2d, drawn, atol=2e-3)
    assert np.abs(drawn - given).max() > 0.1
    names = ("global_orient", "hand_pose", "betas", "transl")
    params = HandParams(*(torch.tensor(hand[name].values).double()[None] for name in names))
    bare = load_hand_model("open_hand", dtype=torch.float64)(params).vertices[0]
    np.testing.assert_allclose(hand.vertices, bare + hand.vertex_offsets.values, atol=1e-6)
    for name in ("vertex_offsets", "appearance", "vertex_colours", "lighting"):
        values = hand[name].values
        assert np.isfinite(values).all() and values.any(), name
    assert hand.vertex_colours.sizes == {"colour_vertex": len(bare), "rgb": 3}
    assert hand.texture.sizes == {"texel_row": 32, "texel_column": 32, "rgb": 3}
    assert hand.texture.dtype == np.float16
    coefficients = torch.tensor(hand.appearance.values)[None]
    skin = load_appearance(load_hand_model().data).maps(coefficients, 32).diffuse[0].numpy()
    texture = hand.texture.values.astype(np.float32)
    assert texture.min() > 0 and texture.max() < 1
    # Three steps of 0.01 in the logits; most texels are seen by nobody.
    change = np.abs(np.log(texture / (1 - texture)) - np.log(skin / (1 - skin)))
    assert 0.005 < change.max() < 0.05 and np.median(change) < 0.002
    (read,) = fitter.open_results("o.zarr")["a.jpg"]
    np.testing.assert_array_equal(read.texture, hand.texture.values)


def test_stages_that_need_masks_ask_for_them(masks, here, refused) -> None:
    refused(
        "refine.stages.coarse: expected masks for silhouette_l2, from --masks or "
        "refine.segmentation and its weights, found neither; refine.stages={} goes without",
        *FAST,
        "--set",
        "refine.segmentation=none",
    )
